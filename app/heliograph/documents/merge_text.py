"""Inside one block: its words and marks changed where they differ, its other parts put in place.

Purpose: `merge_inline` is the part of a merge that works on a paragraph, a heading or a block of
code; `apply_steps` carries out an alignment on the children of any element.

Guarantee: letters that stay keep their identity in the Yjs document, so that a cursor or a
concurrent edit beside them holds. Marks that Markdown does not know stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import pycrdt

from heliograph.documents.alignment import align, text_edits
from heliograph.documents.escaping import destination
from heliograph.documents.fragment import (
    Element,
    Json,
    attributes_to_marks,
    insert_nodes,
    marks_to_attributes,
    node_to_json,
)

_MARKS = ("bold", "italic", "strike", "code", "link")


def apply_steps(
    parent: Element,
    places: Sequence[int],
    olds: Sequence[str],
    news: Sequence[str],
    mergeable: Callable[[int, int], bool],
    turn: Callable[[int, int], None],
    insert: Callable[[int, int], int],
) -> None:
    """Carry out an alignment on the children of an element; `places` are their indices."""
    # From the first to the last; `shift` is how far the indices of what follows have moved.
    steps = align(olds, news, mergeable)
    shift = 0
    at = 0
    for i, j in steps:
        if i is None and j is not None:
            after = insert(at, j)
            shift += after - at
            at = after
        elif i is not None:
            at = places[i] + shift
            if j is None:
                del parent.children[at]
                shift -= 1
            else:
                if olds[i] != news[j]:
                    turn(at, j)
                at += 1


def merge_inline(element: pycrdt.XmlElement, nodes: Iterable[Json], *, code: bool) -> None:
    """Make a paragraph's texts, breaks and images those of `nodes`."""
    units: list[list[Json]] = []
    for node in nodes:
        if node["type"] == "text" and units and units[-1][0]["type"] == "text":
            units[-1].append(node)
        else:
            units.append([node])
    told = [(index, node_to_json(child)) for index, child in enumerate(element.children)]
    told = [(index, each) for index, each in told if each]
    if told and units and not code:
        _keep_last_spaces(told[-1][1], units[-1])

    def mergeable(i: int, j: int) -> bool:
        is_text = isinstance(element.children[told[i][0]], pycrdt.XmlText)
        return is_text and units[j][0]["type"] == "text"

    apply_steps(
        element,
        [index for index, _ in told],
        [_inline_key(each) for _, each in told],
        [_inline_key(unit) for unit in units],
        mergeable,
        lambda index, j: _merge_text(cast(pycrdt.XmlText, element.children[index]), units[j]),
        lambda index, j: insert_nodes(element, index, units[j]),
    )


def _keep_last_spaces(old: list[Json], new: list[Json]) -> None:
    """Somebody may be typing: a space at the end of a paragraph is no difference."""
    if old[-1]["type"] == "text" and new[-1]["type"] == "text":
        text = old[-1]["text"]
        new[-1] = {**new[-1], "text": new[-1]["text"].rstrip() + text[len(text.rstrip()) :]}


def _inline_key(nodes: Iterable[Json]) -> str:
    parts = []
    for node in nodes:
        if node["type"] == "text":
            marks = _spoken(marks_to_attributes(node.get("marks")))
            parts.append((node["text"], sorted(marks.items())))
        else:
            attrs = node.get("attrs", {})
            parts.append((node["type"], [(k, str(attrs.get(k))) for k in ("src", "alt", "title")]))
    return repr(parts)


def _spoken(attributes: dict[str, Any] | None) -> dict[str, str]:
    """The marks of a piece of text that Markdown knows, as something to compare."""
    out = {}
    for mark in attributes_to_marks(attributes):
        if mark["type"] == "link":
            attrs = mark.get("attrs", {})
            href, title = attrs.get("href"), attrs.get("title")
            if isinstance(href, str):
                out["link"] = destination(href, title if isinstance(title, str) else None)
        elif mark["type"] in _MARKS:
            out[mark["type"]] = ""
    return out


def _merge_text(text: pycrdt.XmlText, nodes: Sequence[Json]) -> None:
    pieces = text.diff()
    if not all(isinstance(piece, str) for piece, _ in pieces):
        text.clear()
        pieces = []
    old = "".join(piece for piece, _ in pieces)
    new = "".join(node["text"] for node in nodes)
    for i1, i2, j1, j2 in reversed(text_edits(old, new)):
        start, end = len(old[:i1].encode()), len(old[:i2].encode())
        if end > start:
            del text[start:end]
        at = 0
        for node in nodes:
            part = node["text"][max(j1 - at, 0) : max(j2 - at, 0)]
            at += len(node["text"])
            if part:
                text.insert(start, part, marks_to_attributes(node.get("marks")))
                start += len(part.encode())
    _merge_marks(text, nodes)


def _merge_marks(text: pycrdt.XmlText, nodes: Iterable[Json]) -> None:
    """Set and remove marks where they differ, over text that is already the same."""
    have = [(piece, attributes or {}) for piece, attributes in text.diff()]
    at = 0
    for node in nodes:
        left = node["text"]
        attributes = marks_to_attributes(node.get("marks"))
        wanted = _spoken(attributes)
        while left:
            piece, held = have[0]
            part = min(len(piece), len(left))
            end = at + len(left[:part].encode())
            spoken = _spoken(held)
            change = {
                name: attributes.get(name)
                for name in _MARKS
                if spoken.get(name) != wanted.get(name)
            }
            if change:
                text.format(at, end, change)
            at, left = end, left[part:]
            have[:1] = [(piece[part:], held)] if part < len(piece) else []
