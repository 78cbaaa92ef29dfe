"""What a note says, derived from its document: Markdown, HTML and JSON.

Purpose: one call for the three forms that notes have in the REST interface and the database.

Guarantee: never raises on what clients put into a document, and none of the three can run code
where it is shown: text is escaped, addresses of dangerous kinds are taken out of HTML and Markdown.
The JSON is the document's own and keeps everything, known or not; whoever renders it needs a
schema.

Cost: linear; 30 ms for 100 KB of plain paragraphs, 0.8 s for 100 KB where every line has marks,
lists and tables. Derive off the event loop, or on quiet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pycrdt
from prosemirror.model import DOMSerializer, Node

from heliograph.documents.fragment import Json, fragment_to_json
from heliograph.documents.normal import normalise
from heliograph.documents.schema import SCHEMA
from heliograph.documents.to_markdown import to_markdown

_SERIALIZER = DOMSerializer.from_schema(SCHEMA)


@dataclass(frozen=True, slots=True)
class NoteContent:
    """A note in its three forms; `md` and `html` are empty for an empty note."""

    md: str
    html: str
    json: Json


def derive(doc: pycrdt.Doc[Any]) -> NoteContent:
    """Derive Markdown, HTML and JSON from a note's document."""
    return content_of(fragment_to_json(doc))


def content_of(json: Json) -> NoteContent:
    """The three forms of a `doc` node of ProseMirror JSON, which may come from anywhere."""
    normal = normalise(json)
    node = Node.from_json(SCHEMA, normal)
    html = str(_SERIALIZER.serialize_fragment(node.content))
    return NoteContent(md=to_markdown(normal), html=html, json=json)
