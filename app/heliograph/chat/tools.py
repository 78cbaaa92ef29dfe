"""Tools: async Python functions a model may call.

A tool's parameters and docstring become the schema the model sees; ``emit``, ``call`` and
``info`` are given by us. Tools come from the entry point group ``heliograph.tools`` and
from ``HELIOGRAPH_TOOLS``; one that cannot be used is refused at start, by name.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError

from heliograph.chat import examples
from heliograph.chat.api import Call, Emit
from heliograph.chat.info import RequestInfo
from heliograph.errors import ConfigurationError, HeliographError
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_GIVEN = ("emit", "call", "info")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PARAMETER = re.compile(r"^\s*:param\s+(\w+):\s*(.*?)(?=^\s*:|\Z)", re.DOTALL | re.MULTILINE)
_MAX_RESULT = 256 * 1024


class ToolError(Exception):
    """A tool could not be called or failed; the message is for the model."""


class Offered(Protocol):
    """What a model may call."""

    def as_dict(self) -> dict[str, Any]:
        """The tool as OpenAI describes it: ``{type: "function", function: {…}}``."""

    async def run(self, arguments: str, *, emit: Emit, call: Call, info: RequestInfo) -> str:
        """Call it with JSON arguments; the result as text.

        :raises ToolError: bad arguments, or it failed.
        """


@dataclass(frozen=True, slots=True)
class Tool:
    """A function with the model of its arguments, and that as a JSON schema: making it takes a
    millisecond, which every request would pay."""

    name: str
    description: str
    arguments: type[BaseModel]
    parameters: dict[str, Any]
    function: Callable[..., Awaitable[Any]]
    given: frozenset[str]

    def as_dict(self) -> dict[str, Any]:
        """The tool as OpenAI describes it: ``{type: "function", function: {…}}``."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return {"type": "function", "function": function}

    async def run(self, arguments: str, *, emit: Emit, call: Call, info: RequestInfo) -> str:
        """Call it with JSON arguments; the result as text.

        :raises ToolError: bad arguments, or whatever the tool raised.
        """
        try:
            values = self.arguments.model_validate_json(arguments or "{}")
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
            raise ToolError(f"bad arguments: {faults}") from None
        parameters: dict[str, Any] = {
            field.alias or name: getattr(values, name)
            for name, field in type(values).model_fields.items()
        }
        given = {"emit": emit, "call": call, "info": info.as_dict()}
        parameters |= {name: given[name] for name in self.given}
        try:
            return as_text(await self.function(**parameters))
        except HeliographError as error:
            raise ToolError(f"{error.message} ({error.code})") from error
        except asyncio.CancelledError:
            runner = asyncio.current_task()
            if runner is None or runner.cancelling():
                raise
            raise ToolError("it was cancelled") from None  # by itself, not by a stop
        except Exception as error:
            log.exception("tool.failed", tool=self.name)
            raise ToolError(f"{type(error).__name__}: {error}"[:2_000]) from error


def make_tool(function: Any, *, name: str | None = None) -> Tool:
    """Read a function's name, signature and docstring.

    :raises TypeError: saying why it cannot be a tool.
    """
    shown = name if name is not None else str(getattr(function, "__name__", function))
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"{shown} is not an async function")
    if not _NAME.fullmatch(shown):
        raise TypeError(f"{shown!r} cannot be a tool's name")
    doc = inspect.getdoc(function) or ""
    about = {key: " ".join(text.split()) for key, text in _PARAMETER.findall(doc)}
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:
        raise TypeError(f"{shown}: its annotations cannot be read: {error}") from error
    fields: dict[str, Any] = {}
    given = set()
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{shown}: *{parameter.name} cannot be described to a model")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(f"{shown}: parameter {parameter.name} is positional only")
        if parameter.name in _GIVEN:
            given.add(parameter.name)
            continue
        if parameter.name not in hints:
            raise TypeError(f"{shown}: parameter {parameter.name} has no type")
        default = ... if parameter.default is parameter.empty else parameter.default
        # Under a name of our own, since a parameter may be called like a model's method.
        field = Field(default=default, alias=parameter.name, description=about.get(parameter.name))
        fields[f"argument{len(fields)}"] = (hints[parameter.name], field)
    try:
        arguments: type[BaseModel] = create_model(
            f"{shown}_arguments", __config__=ConfigDict(extra="forbid"), **fields
        )
        schema = arguments.model_json_schema()
    except (PydanticUserError, NameError, TypeError) as error:
        raise TypeError(f"{shown}: its parameters have no JSON schema: {error}") from error
    schema.pop("title", None)
    for described in schema.get("properties", {}).values():
        described.pop("title", None)
    summary = re.split(r"^\s*:", doc, maxsplit=1, flags=re.MULTILINE)[0]
    description = " ".join(summary.split())
    return Tool(shown, description, arguments, schema, function, frozenset(given))


def as_text(result: Any) -> str:
    """A tool's result as the model gets it.

    :raises ToolError: it has no JSON form.
    """
    if result is None:
        text = "done"
    elif isinstance(result, str):
        text = result
    else:
        try:
            text = json.dumps(result, ensure_ascii=False, default=str)
        except (TypeError, ValueError) as error:
            raise ToolError(f"its result has no JSON form: {error}") from error
    if len(text) > _MAX_RESULT:
        return f"{text[:_MAX_RESULT]}\n… ({len(text) - _MAX_RESULT} more characters)"
    return text


class ToolBox:
    """The tools of this server, by name."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools = {tool.name: tool for tool in tools}

    def offered(self, wanted: Iterable[str] | None) -> dict[str, Tool]:
        """All tools, or those of ``wanted`` that exist."""
        if wanted is None:
            return dict(self.tools)
        return {name: self.tools[name] for name in wanted if name in self.tools}


def load_tools(setting: str) -> ToolBox:
    """The examples, the installed tools and those of ``HELIOGRAPH_TOOLS``.

    Blocks: modules are imported. An installed tool may take the place of an example.

    :param setting: ``module:attribute``, comma-separated; the attribute is a function or
        a list of functions.
    :raises ConfigurationError: one of them cannot be used.
    """
    box = {function.__name__: make_tool(function) for function in examples.ALL}
    ours = set(box)
    for entry in entry_points(group="heliograph.tools"):
        source = f"entry point heliograph.tools {entry.name} = {entry.value}"
        try:
            found = entry.load()
        except Exception as error:
            raise ConfigurationError(f"{source}: cannot be imported: {error}") from error
        _add(box, ours, found, source, name=entry.name)
    for part in filter(None, (part.strip() for part in setting.split(","))):
        source = f"HELIOGRAPH_TOOLS: {part}"
        module, _, attribute = part.partition(":")
        if not module or not attribute:
            raise ConfigurationError(f"{source}: expected module:attribute")
        try:
            found = importlib.import_module(module)
            for name in attribute.split("."):
                found = getattr(found, name)
        except Exception as error:
            raise ConfigurationError(f"{source}: cannot be imported: {error}") from error
        _add(box, ours, found, source)
    return ToolBox(box.values())


def _add(
    box: dict[str, Tool], ours: set[str], found: Any, source: str, *, name: str | None = None
) -> None:
    many = isinstance(found, list | tuple)
    for function in found if many else [found]:
        try:
            tool = make_tool(function, name=None if many else name)
        except TypeError as error:
            raise ConfigurationError(f"{source}: {error}") from error
        if tool.name in box and tool.name not in ours:
            raise ConfigurationError(f"{source}: there is a tool {tool.name} already")
        ours.discard(tool.name)
        box[tool.name] = tool
