"""From a function to a tool, and where tools come from."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from heliograph.chat.api import Call, Emit
from heliograph.chat.info import RequestInfo
from heliograph.chat.tools import ToolError, load_tools, make_tool
from heliograph.errors import ConfigurationError

INFO = RequestInfo("u", "c", "m", "s")


async def nothing(_: Any) -> None:
    pass


class Place(BaseModel):
    city: str


async def weather(
    place: Place,
    call: Call,
    emit: Emit,
    info: dict[str, Any],
    days: Annotated[int, Field(ge=1)] = 1,
    unit: Literal["C", "F"] = "C",
    schema: str = "",
) -> dict[str, Any]:
    """Tell the weather
    of a place.

    :param place: where
        it is
    :param days: how many
    """
    return {"city": place.city, "days": days, "unit": unit, "user": info["user_id"]}


def test_a_signature_becomes_a_schema() -> None:
    described = make_tool(weather).as_dict()["function"]
    assert (described["name"], described["description"]) == (
        "weather",
        "Tell the weather of a place.",
    )
    parameters = described["parameters"]
    assert list(parameters["properties"]) == ["place", "days", "unit", "schema"]
    assert parameters["required"] == ["place"]
    assert parameters["additionalProperties"] is False
    assert parameters["properties"]["days"] == {
        "default": 1,
        "description": "how many",
        "minimum": 1,
        "type": "integer",
    }
    assert parameters["properties"]["place"]["description"] == "where it is"
    assert parameters["properties"]["unit"]["enum"] == ["C", "F"]


async def test_arguments_are_read_and_checked() -> None:
    tool = make_tool(weather)
    result = await tool.run(
        '{"place": {"city": "Bern"}, "days": 2}', emit=nothing, call=nothing, info=INFO
    )
    assert result == '{"city": "Bern", "days": 2, "unit": "C", "user": "u"}'
    for bad in ("{}", "[]", "{", '{"place": {"city": "x"}, "emit": 1}', '{"place": 1}'):
        with pytest.raises(ToolError, match="bad arguments"):
            await tool.run(bad, emit=nothing, call=nothing, info=INFO)


async def test_a_result_is_text_and_bounded() -> None:
    async def gives(number: int) -> Any:
        """Give."""
        return [None, "text", "x" * 300_000][number]

    tool = make_tool(gives)
    found = [
        await tool.run(f'{{"number": {n}}}', emit=nothing, call=nothing, info=INFO)
        for n in range(3)
    ]
    assert found[:2] == ["done", "text"]
    assert len(found[2]) < 270_000
    assert found[2].endswith("more characters)")


def synchronous(x: int) -> None:
    pass


async def untyped(x) -> None:  # type: ignore[no-untyped-def]
    pass


async def variadic(*x: int) -> None:
    pass


async def unreadable(x: NoSuchType) -> None:  # type: ignore[name-defined] # noqa: F821
    pass


async def undescribable(x: ModuleType) -> None:
    pass


@pytest.mark.parametrize("function", [synchronous, untyped, variadic, unreadable, undescribable, 5])
def test_what_cannot_be_a_tool_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match=getattr(function, "__name__", "5")):
        make_tool(function)


def test_the_examples_are_there() -> None:
    assert set(load_tools("").tools) == {"status", "confirm", "ask", "python"}


def test_tools_come_from_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_tools")
    module.one = weather  # type: ignore[attr-defined]

    async def ask(question: str) -> str:
        """Ask in another way."""
        return question

    module.many = [ask]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_tools", module)
    box = load_tools("my_tools:one, my_tools:many").tools
    assert set(box) == {"status", "confirm", "ask", "python", "weather"}
    assert box["ask"].description == "Ask in another way."


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("nonsense", "expected module:attribute"),
        ("no.such.module:x", "cannot be imported"),
        ("json:nothing", "cannot be imported"),
        ("json:dumps", "not an async function"),
        ("tests.unit.chat.test_toolbox:weather,tests.unit.chat.test_toolbox:weather", "already"),
    ],
)
def test_a_bad_setting_names_its_variable(setting: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"HELIOGRAPH_TOOLS: .*{words}"):
        load_tools(setting)
