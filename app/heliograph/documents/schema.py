"""The note editor's schema, for the server's own reading of notes.

Purpose: node and mark names, attributes and nesting of TipTap 3's StarterKit (version 2 uses the
same names, without `link` and `underline`), plus the extensions TaskList, TaskItem, Table and
Image, as a ProseMirror schema that renders HTML and parses it.

Differences from the editor's own schema, all on the permissive side: `image` is inline (the editor
has it between paragraphs; `normal.normalise` wraps it), and `code` may stand with other marks
(the editor keeps such text as it came, too).

Limits: the attributes here must be clean; `normal.normalise` sees to it.

Source: `addAttributes`, `parseHTML` and `renderHTML` of `@tiptap/extension-*` 3.34.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from prosemirror.model import Mark, Node, Schema
from prosemirror.model.schema import MarkSpec, NodeSpec

TEXT_BLOCKS = frozenset({"paragraph", "heading", "codeBlock"})
"""Nodes that hold text, and marks except in a code block."""

LISTS = {"bulletList": "listItem", "orderedList": "listItem", "taskList": "taskItem"}
"""Lists and what they hold."""

CELLS = frozenset({"tableCell", "tableHeader"})

MARKS = ("link", "bold", "code", "italic", "strike", "underline")
"""Marks in the editor's order."""


def _tag(name: str) -> Callable[[Node], list[Any]]:
    return lambda _: [name, 0]


def _mark(name: str) -> Callable[[Mark, bool], list[Any]]:
    return lambda _mark, _inline: [name, 0]


def _ordered_list(node: Node) -> list[Any]:
    start = node.attrs["start"]
    return ["ol", {"start": start} if start != 1 else {}, 0]


def _code_block(node: Node) -> list[Any]:
    language = node.attrs["language"]
    return ["pre", ["code", {"class": f"language-{language}" if language else None}, 0]]


def _language(dom: Any) -> dict[str, Any]:
    classes = " ".join((each.get("class") or "") for each in dom.iter("code")).split()
    names = [name.removeprefix("language-") for name in classes if name.startswith("language-")]
    return {"language": names[0] if names else None}


def _task_item(node: Node) -> list[Any]:
    checked = node.attrs["checked"]
    box = {"type": "checkbox", "disabled": "disabled", "checked": "checked" if checked else None}
    return [
        "li",
        {"data-type": "taskItem", "data-checked": str(checked).lower()},
        ["label", ["input", box]],
        ["div", 0],
    ]


def _cell_attrs(dom: Any) -> dict[str, Any]:
    align = re.search(r"text-align:\s*(left|center|right)", dom.get("style") or "")
    spans = {key: int(dom.get(key) or 1) for key in ("colspan", "rowspan")}
    return {**spans, "align": align.group(1) if align else None}


def _cell(name: str) -> NodeSpec:
    def render(node: Node) -> list[Any]:
        spans = {key: node.attrs[key] for key in ("colspan", "rowspan") if node.attrs[key] != 1}
        align = node.attrs["align"]
        return [name, {**spans, "style": f"text-align: {align}" if align else None}, 0]

    return {
        "content": "block+",
        "attrs": {"colspan": {"default": 1}, "rowspan": {"default": 1}, "align": {"default": None}},
        "parseDOM": [{"tag": name, "getAttrs": _cell_attrs}],
        "toDOM": render,
    }


def _image(node: Node) -> list[Any]:
    return ["img", {key: node.attrs[key] for key in ("src", "alt", "title")}]


def _link(mark: Mark, _inline: bool) -> list[Any]:
    attrs = {"href": mark.attrs["href"], "title": mark.attrs["title"]}
    return ["a", {**attrs, "rel": "noopener noreferrer nofollow"}, 0]


NODES: dict[str, NodeSpec] = {
    "doc": {"content": "block*"},
    "paragraph": {
        "content": "inline*",
        "group": "block",
        "parseDOM": [{"tag": "p"}],
        "toDOM": _tag("p"),
    },
    "heading": {
        "content": "inline*",
        "group": "block",
        "attrs": {"level": {"default": 1}},
        "parseDOM": [{"tag": f"h{level}", "attrs": {"level": level}} for level in range(1, 7)],
        "toDOM": lambda node: [f"h{node.attrs['level']}", 0],
    },
    "blockquote": {
        "content": "block+",
        "group": "block",
        "parseDOM": [{"tag": "blockquote"}],
        "toDOM": _tag("blockquote"),
    },
    "taskList": {
        "content": "taskItem+",
        "group": "block",
        "parseDOM": [{"tag": 'ul[data-type="taskList"]', "priority": 51}],
        "toDOM": lambda _: ["ul", {"data-type": "taskList"}, 0],
    },
    "taskItem": {
        "content": "paragraph block*",
        "attrs": {"checked": {"default": False}},
        "parseDOM": [
            {
                "tag": 'li[data-type="taskItem"]',
                "priority": 51,
                "getAttrs": lambda dom: {"checked": dom.get("data-checked") == "true"},
            }
        ],
        "toDOM": _task_item,
    },
    "bulletList": {
        "content": "listItem+",
        "group": "block",
        "parseDOM": [{"tag": "ul"}],
        "toDOM": _tag("ul"),
    },
    "orderedList": {
        "content": "listItem+",
        "group": "block",
        "attrs": {"start": {"default": 1}},
        "parseDOM": [{"tag": "ol", "getAttrs": lambda dom: {"start": int(dom.get("start") or 1)}}],
        "toDOM": _ordered_list,
    },
    "listItem": {
        "content": "paragraph block*",
        "parseDOM": [{"tag": "li"}],
        "toDOM": _tag("li"),
    },
    "codeBlock": {
        "content": "text*",
        "marks": "",
        "group": "block",
        "code": True,
        "attrs": {"language": {"default": None}},
        "parseDOM": [{"tag": "pre", "preserveWhitespace": "full", "getAttrs": _language}],
        "toDOM": _code_block,
    },
    "horizontalRule": {
        "group": "block",
        "parseDOM": [{"tag": "hr"}],
        "toDOM": lambda _: ["hr"],
    },
    "table": {
        "content": "tableRow+",
        "group": "block",
        "parseDOM": [{"tag": "table"}],
        "toDOM": lambda _: ["table", ["tbody", 0]],
    },
    "tableRow": {
        "content": "(tableCell | tableHeader)*",
        "parseDOM": [{"tag": "tr"}],
        "toDOM": _tag("tr"),
    },
    "tableHeader": _cell("th"),
    "tableCell": _cell("td"),
    "text": {"group": "inline"},
    "hardBreak": {
        "inline": True,
        "group": "inline",
        "parseDOM": [{"tag": "br"}],
        "toDOM": lambda _: ["br"],
    },
    "image": {
        "inline": True,
        "group": "inline",
        "attrs": {"src": {}, "alt": {"default": None}, "title": {"default": None}},
        "parseDOM": [
            {
                "tag": "img[src]",
                "getAttrs": lambda dom: {key: dom.get(key) for key in ("src", "alt", "title")},
            }
        ],
        "toDOM": _image,
    },
}

MARK_SPECS: dict[str, MarkSpec] = {
    "link": {
        "attrs": {"href": {}, "title": {"default": None}},
        "parseDOM": [
            {
                "tag": "a[href]",
                "getAttrs": lambda dom: {"href": dom.get("href"), "title": dom.get("title")},
            }
        ],
        "toDOM": _link,
    },
    "bold": {"parseDOM": [{"tag": "strong"}, {"tag": "b"}], "toDOM": _mark("strong")},
    "code": {"parseDOM": [{"tag": "code"}], "toDOM": _mark("code")},
    "italic": {"parseDOM": [{"tag": "em"}, {"tag": "i"}], "toDOM": _mark("em")},
    "strike": {"parseDOM": [{"tag": "s"}, {"tag": "del"}], "toDOM": _mark("s")},
    "underline": {"parseDOM": [{"tag": "u"}], "toDOM": _mark("u")},
}

SCHEMA: Schema[Any, Any] = Schema({"nodes": NODES, "marks": MARK_SPECS})
"""The schema itself; made once, when the module is imported."""
