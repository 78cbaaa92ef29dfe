"""A note's Yjs tree and ProseMirror's JSON, both ways.

Purpose: the mapping of y-prosemirror. An element is a node: its name the node's type, its
attributes the node's (null ones left out). A text is a run of text nodes, its formatting their
marks: `{"bold": {}, "link": {"href": "…"}}`.

Guarantee: reading never raises, whatever a client put in, and leaves nothing out that is a node, a
text, a mark or a plain attribute, known or not. Nothing is added.

Limits: below `MAX_DEPTH` levels only the text is kept. Values that are no JSON (binary, shared
types inside an attribute) and embeds in a text are left out; no editor makes them. Marks of
elements are not stored by y-prosemirror.

Indices into a `pycrdt.XmlText` are bytes of UTF-8, not characters. Numbers come back as floats;
whole ones are read as integers, and a float written as 2.0 is the number 2 in JavaScript.

Source: y-prosemirror 1.3, `src/plugins/sync-plugin.js`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pycrdt

FRAGMENT = "prosemirror"
"""The name of a note's root in its Yjs document."""

MAX_DEPTH = 100
"""How many levels of nodes are read; JSON of it is 200 levels deep, which every encoder takes."""

Json = dict[str, Any]
Element = pycrdt.XmlElement | pycrdt.XmlFragment

# Marks that may overlap themselves carry a hash behind their name.
_HASHED = re.compile(r"(.*)--[a-zA-Z0-9+/=]{8}", re.DOTALL)


def note_fragment(doc: pycrdt.Doc[Any]) -> pycrdt.XmlFragment:
    """The root of a note, made when it is missing (which is no change of the document's state)."""
    fragment: pycrdt.XmlFragment = doc.get(FRAGMENT, type=pycrdt.XmlFragment)
    return fragment


def fragment_to_json(doc: pycrdt.Doc[Any]) -> Json:
    """A note as ProseMirror JSON: `{"type": "doc", "content": [...]}`.

    An empty document has an empty `content`; the editor shows it as one empty paragraph.
    """
    with doc.transaction():
        return {"type": "doc", "content": children_to_json(note_fragment(doc))}


def children_to_json(parent: Element, depth: int = 1) -> list[Json]:
    """The children of one element as JSON nodes, `depth` levels below the document."""
    nodes: list[Json] = []
    for child in parent.children:
        nodes += node_to_json(child, depth)
    return joined(nodes)


def node_to_json(child: object, depth: int = 1) -> list[Json]:
    """One child of an element: one node for an element, any number of text nodes for a text."""
    if isinstance(child, pycrdt.XmlText):
        return list(_texts(child, depth))
    if not isinstance(child, pycrdt.XmlElement):
        return []  # plain values have no place in a tree of nodes
    node: Json = {"type": child.tag or ""}
    attrs = {key: plain(value) for key, value in _attributes(child)}
    attrs = {key: value for key, value in attrs.items() if value is not None}
    if attrs:
        node["attrs"] = attrs
    if depth < MAX_DEPTH:
        content = children_to_json(child, depth + 1)
    else:
        text = "".join(_all_text(child))
        content = [{"type": "text", "text": text}] if text else []
    if content:
        node["content"] = content
    return [node]


def fill_fragment(doc: pycrdt.Doc[Any], json: Json) -> None:
    """Replace a note's content by ProseMirror JSON, in one transaction.

    Args:
        doc: the note's document.
        json: a `doc` node. Parts that are no nodes are left out; nothing is checked against a
            schema.
    """
    with doc.transaction():
        fragment = note_fragment(doc)
        if len(fragment.children):
            del fragment.children[0 : len(fragment.children)]
        insert_nodes(fragment, 0, _content(json))


def insert_nodes(parent: Element, index: int, nodes: Iterable[Json], depth: int = 1) -> int:
    """Insert JSON nodes as children, neighbouring texts as one; returns the next index."""
    run: list[Json] = []

    def flush() -> None:
        nonlocal index
        if run:
            text = pycrdt.XmlText()
            parent.children.insert(index, text)
            write_text(text, run)
            run.clear()
            index += 1

    for node in nodes:
        if node.get("type") == "text":
            if isinstance(node.get("text"), str) and node["text"]:
                run.append(node)
            continue
        flush()
        if not isinstance(node.get("type"), str) or not node["type"] or depth > MAX_DEPTH:
            continue
        element = pycrdt.XmlElement(node["type"])
        parent.children.insert(index, element)
        index += 1
        for key, value in (node.get("attrs") or {}).items():
            if value is not None:
                element.attributes[key] = value
        insert_nodes(element, 0, _content(node), depth + 1)
    flush()
    return index


def write_text(text: pycrdt.XmlText, nodes: Iterable[Json]) -> None:
    """Append text nodes to a text."""
    at = len(text)
    for node in nodes:
        text.insert(at, node["text"], marks_to_attributes(node.get("marks")))
        at += len(node["text"].encode())


def marks_to_attributes(marks: Iterable[Json] | None) -> dict[str, Any]:
    """Marks of JSON as formatting of a Yjs text: `[{"type": "bold"}]` is `{"bold": {}}`."""
    return {mark["type"]: dict(mark.get("attrs") or {}) for mark in marks or ()}


def attributes_to_marks(attributes: dict[str, Any] | None) -> list[Json]:
    """Formatting of a Yjs text as marks of JSON, by name; what is null is not set."""
    marks: list[Json] = []
    for name, value in sorted((attributes or {}).items()):
        if value is None or value is False:
            continue
        hashed = _HASHED.fullmatch(name)
        mark: Json = {"type": hashed.group(1) if hashed else name}
        attrs = plain(value)
        if isinstance(attrs, dict):
            attrs = {key: each for key, each in attrs.items() if each is not None}
            if attrs:
                mark["attrs"] = attrs
        marks.append(mark)
    return marks


def joined(nodes: Iterable[Json]) -> list[Json]:
    """The same nodes with neighbouring texts of equal marks as one node."""
    out: list[Json] = []
    for node in nodes:
        last = out[-1] if out else None
        if (
            node["type"] == "text"
            and last is not None
            and last["type"] == "text"
            and last.get("marks") == node.get("marks")
        ):
            out[-1] = {**last, "text": last["text"] + node["text"]}
        else:
            out.append(node)
    return out


def plain(value: object, depth: int = 0) -> Any:
    """A value as JSON has it: whole floats as integers; what JSON does not know as None."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) <= 2**53 else value
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if depth < 16:
        if isinstance(value, list):
            return [plain(each, depth + 1) for each in value]
        if isinstance(value, dict):
            return {str(key): plain(each, depth + 1) for key, each in value.items()}
    return None


def _content(node: Json) -> list[Json]:
    content = node.get("content")
    return [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []


def _attributes(element: pycrdt.XmlElement) -> list[tuple[str, object]]:
    # pycrdt's `__iter__` is typed as returning an iterable; it is an iterator.
    pairs = cast(Iterable[tuple[str, object]], element.attributes)
    return sorted(pairs, key=lambda pair: pair[0])


def _texts(text: pycrdt.XmlText, depth: int) -> Iterator[Json]:
    for piece, attributes in text.diff():
        if isinstance(piece, str):
            if piece:
                node: Json = {"type": "text", "text": piece}
                marks = attributes_to_marks(attributes)
                if marks:
                    node["marks"] = marks
                yield node
        elif isinstance(piece, pycrdt.XmlElement):
            yield from node_to_json(piece, depth)


def _all_text(element: Element) -> Iterator[str]:
    """The text below an element, in order, without recursion."""
    stack: list[Iterator[object]] = [iter(element.children)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
        elif isinstance(child, pycrdt.XmlText):
            yield from (piece for piece, _ in child.diff() if isinstance(piece, str))
        elif isinstance(child, pycrdt.XmlElement):
            stack.append(iter(child.children))
