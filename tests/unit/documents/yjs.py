"""Documents and updates the tests of this folder share."""

from __future__ import annotations

import random
from typing import Any

import pycrdt

Doc = pycrdt.Doc[Any]


def note(client_id: int = 1, paragraphs: int = 5) -> Doc:
    """A document with marks, attributes, a deletion and plain values of every kind."""
    doc: Doc = pycrdt.Doc(client_id=client_id)
    doc["prosemirror"] = fragment = pycrdt.XmlFragment()
    for level in range(paragraphs):
        block = pycrdt.XmlElement("heading")
        fragment.children.append(block)
        block.attributes["level"] = level
        text = pycrdt.XmlText()
        block.children.append(text)
        text.insert(0, "hello wörld 😀", {"bold": {}})
        text.insert(3, "plain", {"bold": None})
    del fragment.children[1]
    values: pycrdt.Map[Any] = pycrdt.Map({"a": 1})
    doc["m"] = values
    values["a"] = 2
    values["x"] = pycrdt.Array([1, 2.5, "s", b"b", True, None, {"k": [1]}, pycrdt.Map({"z": 1})])
    return doc


def copy(doc: Doc, client_id: int | None = None) -> Doc:
    twin: Doc = pycrdt.Doc(client_id=client_id)
    twin.apply_update(doc.get_update())
    return twin


def edits(base: Doc, client_id: int) -> list[bytes]:
    """Updates one client makes after `base`, in order: text, formatting, blocks, deletions."""
    doc = copy(base, client_id)
    updates = []
    fragment = doc.get("prosemirror", type=pycrdt.XmlFragment)

    def changed(since: bytes) -> bytes:
        updates.append(doc.get_update(since))
        return doc.get_state()

    at = doc.get_state()
    text: Any = fragment.children[0].children[0]
    text.insert(2, "abc", {"italic": {}})
    at = changed(at)
    text.format(0, 4, {"link": {"href": "https://example.org"}})
    at = changed(at)
    del text[5:9]
    at = changed(at)
    fragment.children.insert(1, pycrdt.XmlElement("paragraph", {}, [pycrdt.XmlText("new")]))
    at = changed(at)
    del fragment.children[0]
    changed(at)
    return updates


HOSTILE_NUMBERS = [
    b"\xff\xff\xff\xff\x0f",
    b"\xff" * 8 + b"\x0f",
    b"\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x10",
    b"\xff" * 9 + b"\x01",
]


def mutate(rnd: random.Random, corpus: list[bytes]) -> bytes:
    """One update of the corpus with one to four bytes or runs changed, cut, inserted or spliced."""
    data = bytearray(rnd.choice(corpus))
    for _ in range(rnd.randint(1, 4)):
        if not data:
            data = bytearray(b"\0\0")
        at = rnd.randrange(len(data))
        kind = rnd.randrange(7)
        if kind == 0:
            data[at] = rnd.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << rnd.randrange(8)
        elif kind == 2:
            del data[at : at + rnd.randint(1, 5)]
        elif kind == 3:
            data[at:at] = rnd.randbytes(rnd.randint(1, 5))
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            data[at : at + 1] = rnd.choice(HOSTILE_NUMBERS)
        else:
            other = rnd.choice(corpus)
            data[at:] = other[rnd.randrange(len(other)) :]
    return bytes(data)


def nested_types(levels: int, first_clock: int = 0, client: int = 77) -> bytes:
    """An update with elements nested `levels` deep, starting in the root or in the one before."""
    uint = pycrdt.write_var_uint
    out = bytearray(b"\x01" + uint(levels) + uint(client) + uint(first_clock))
    for clock in range(first_clock, first_clock + levels):
        parent = b"\x01\x01p" if clock == 0 else b"\x00" + uint(client) + uint(clock - 1)
        out += b"\x07" + parent + b"\x03\x01a"
    return bytes(out + b"\x00")
