"""What a channel takes in."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.channels import limits
from heliograph.errors import BadPayload, TooLarge


@pytest.mark.parametrize("value", ["a", "ab", "\n\t", "👨‍👩‍👧", "x" * 10])
def test_text_that_fits_stays_as_it_is(value: str) -> None:
    assert limits.text(value, "content", most=10) == value


@pytest.mark.parametrize("value", ["", "a\x00", "\ud83d", "x\udfff"])
def test_text_that_cannot_be_stored_is_refused(value: str) -> None:
    with pytest.raises(BadPayload) as refusal:
        limits.text(value, "content", most=10)
    assert refusal.value.path == "content"


def test_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(TooLarge, match="content: at most 10 characters, got 11"):
        limits.text("x" * 11, "content", most=10)


@pytest.mark.parametrize("value", ["a\nb", "a\x1b[0m", "a\x85b", "a\u2028b", " "])
def test_a_line_holds_no_control_characters(value: str) -> None:
    with pytest.raises(BadPayload):
        limits.line(value, "name", most=10)


def test_a_line_has_no_spaces_around_it() -> None:
    assert limits.line("  a b ", "name", most=3) == "a b"


def test_json_without_a_form_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(limits.MAX_DEPTH):
        deep = {"a": [deep]}
    for value in (deep, {"n": 1 << 64}, {"s": "\ud83d"}, {"\udfff": 1}):
        with pytest.raises(BadPayload):
            limits.json_object(value, "data")


def test_json_of_the_greatest_depth_passes() -> None:
    value: Any = 1
    for _ in range(limits.MAX_DEPTH - 1):
        value = {"a": value}
    assert limits.json_object(value, "data") == value
