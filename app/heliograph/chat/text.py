"""Text and JSON as every database and every client can hold them.

Models, tools and browsers may send a NUL, half a surrogate pair, an integer of a
hundred digits: PostgreSQL refuses the first, JSON encoders the others. What can be
mended is mended here, once, on the way in.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from heliograph.errors import BadPayload, TooLarge

MAX_JSON_BYTES = 4 * 1024 * 1024
"""Most of one event's data, encoded."""


def clean_text(text: str) -> str:
    """The text with U+FFFD for each NUL and each half of a surrogate pair."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # Two halves that stand side by side are joined by this round trip.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def ends_in_half_a_pair(text: str) -> bool:
    """Whether the last character is the first half of a surrogate pair."""
    return bool(text) and "\ud800" <= text[-1] <= "\udbff"


def clean_json(value: Any, *, path: str = "data", limit: int = MAX_JSON_BYTES) -> Any:
    """The value as JSON holds it.

    :param path: where it is in the payload, for the error.
    :param limit: most bytes of its JSON text.
    :raises BadPayload: it has no JSON form.
    :raises TooLarge: over the limit.
    """
    try:
        encoded = orjson.dumps(value)
    except TypeError:
        try:
            encoded = clean_text(json.dumps(value, ensure_ascii=False)).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise BadPayload(f"{path} has no JSON form: {error}", path=path) from None
    if len(encoded) > limit:
        raise TooLarge(f"{path} is {len(encoded)} bytes long, at most {limit} are taken", path=path)
    try:
        return orjson.loads(encoded)
    except orjson.JSONDecodeError as error:
        raise BadPayload(f"{path} has no JSON form: {error}", path=path) from None


def text_of(content: Any) -> str:
    """The text of an OpenAI message's ``content``: a string, or a list of parts."""
    if isinstance(content, str):
        return clean_text(content)
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return clean_text("\n".join(part for part in parts if isinstance(part, str)))
    return ""
