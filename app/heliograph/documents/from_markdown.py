"""Markdown read into a note's JSON, in the shape the editor accepts.

Purpose: `markdown_to_json` seeds a note and takes REST edits. markdown-it parses, here its tokens
become ProseMirror nodes.

Guarantee: every result fits the editor's schema (TipTap's StarterKit, with TaskList, TaskItem with
`nested: true`, Table and Image): list items begin with a paragraph, images stand between blocks,
text in code has no marks. HTML in the source is text; links that could run code are text.

Limits: a line break without two spaces or a backslash before it is a space, as in CommonMark. Below
`MAX_NESTING` levels of nesting markdown-it reads no further.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from heliograph.documents.fragment import Json, joined
from heliograph.documents.normal import safe_address
from heliograph.documents.schema import LISTS

MAX_NESTING = 100
"""As deep as `fragment.MAX_DEPTH` reads a document."""

_PARSER = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING}).enable(
    ["strikethrough", "table"]
)
_BLOCKS = {
    "paragraph": "paragraph",
    "heading": "heading",
    "blockquote": "blockquote",
    "bullet_list": "bulletList",
    "ordered_list": "orderedList",
    "list_item": "listItem",
    "table": "table",
    "tr": "tableRow",
    "th": "tableHeader",
    "td": "tableCell",
}
_MARKS = {"strong": "bold", "em": "italic", "s": "strike", "link": "link"}
_TASK = re.compile(r"\[([ xX])\](?:\s+|$)")
_ALIGN = re.compile(r"text-align:(left|center|right)")


def markdown_to_json(markdown: str, *, extensions: bool = True) -> Json:
    """Read Markdown into a `doc` node of ProseMirror JSON.

    Args:
        markdown: CommonMark with tables, task lists and strikethrough.
        extensions: whether the editor knows task lists, tables and images. A y-prosemirror client
            *deletes* nodes its schema does not have from the shared document, so without them these
            become lists, paragraphs and links.
    """
    top: Json = {"type": "doc", "content": []}
    stack = [top]
    for token in _PARSER.parse(markdown.replace("\x00", "\ufffd")):
        name, _, side = token.type.rpartition("_")
        if side == "open" and name in _BLOCKS:
            node: Json = {"type": _BLOCKS[name], "content": []}
            attrs = _attrs(token, name)
            if attrs:
                node["attrs"] = attrs
            stack[-1]["content"].append(node)
            stack.append(node)
        elif side == "close" and name in _BLOCKS:
            stack.pop()
        elif token.type == "inline":
            stack[-1]["content"] += _inline(token.children or [])
        elif token.type in ("fence", "code_block"):
            stack[-1]["content"].append(_code(token))
        elif token.type == "hr":
            stack[-1]["content"].append({"type": "horizontalRule"})
    return {"type": "doc", "content": _fitted(top["content"], extensions)}


def _attrs(token: Token, name: str) -> Json:
    if name == "heading":
        return {"level": int(token.tag[1])}
    if name == "ordered_list":
        start = token.attrGet("start")
        return {} if start is None else {"start": int(start)}
    align = _ALIGN.search(str(token.attrGet("style") or "")) if name in ("th", "td") else None
    return {"align": align.group(1)} if align else {}


def _code(token: Token) -> Json:
    language = token.info.split(maxsplit=1)[0] if token.info.strip() else None
    text = token.content.removesuffix("\n")
    node: Json = {"type": "codeBlock"}
    if language:
        node["attrs"] = {"language": language}
    if text:
        node["content"] = [{"type": "text", "text": text}]
    return node


def _inline(tokens: Sequence[Token]) -> list[Json]:
    nodes: list[Json] = []
    marks: list[Json] = []

    def text(content: str, *more: Json) -> None:
        if content:
            held = [*(mark for mark in marks if mark["type"] != "unsafe"), *more]
            unique = {mark["type"]: mark for mark in held}
            ordered = [unique[name] for name in sorted(unique)]
            nodes.append(
                {"type": "text", "text": content, **({"marks": ordered} if ordered else {})}
            )

    for token in tokens:
        name, _, side = token.type.rpartition("_")
        if side == "open" and name in _MARKS:
            marks.append(_link(token) if name == "link" else {"type": _MARKS[name]})
        elif side == "close" and name in _MARKS:
            marks.pop()
        elif token.type == "code_inline":
            text(token.content, {"type": "code"})
        elif token.type == "softbreak":
            text(" ")
        elif token.type == "hardbreak":
            nodes.append({"type": "hardBreak"})
        elif token.type == "image":
            nodes.append(_image(token))
        else:
            text(token.content)
    return joined(nodes)


def _link(token: Token) -> Json:
    href = safe_address(token.attrGet("href"))
    if href is None:
        return {"type": "unsafe"}
    title = token.attrGet("title")
    return {"type": "link", "attrs": {"href": href, **({"title": title} if title else {})}}


def _image(token: Token) -> Json:
    alt = "".join(child.content for child in token.children or [])
    src = safe_address(token.attrGet("src"), image=True)
    if src is None:
        return {"type": "text", "text": alt}
    title = token.attrGet("title")
    more = {key: value for key, value in (("alt", alt), ("title", title)) if value}
    return {"type": "image", "attrs": {"src": src, **more}}


def _fitted(blocks: Iterable[Json], extensions: bool) -> list[Json]:
    """Blocks as the editor's schema has them."""
    out: list[Json] = []
    for block in blocks:
        kind, content = block["type"], block.get("content", [])
        if kind in ("paragraph", "heading"):
            out += _text_block(block, extensions)
        elif kind == "table" and not extensions:
            out += _table_text(content)
        elif kind in LISTS:
            out.append(_list(block, extensions))
        elif kind == "blockquote":
            out.append({**block, "content": _fitted(content, extensions) or [_paragraph()]})
        elif kind == "table":
            rows = [{**row, "content": [_cell(cell) for cell in row["content"]]} for row in content]
            out.append({**block, "content": rows})
        else:
            out.append(block)
    return out


def _paragraph(content: list[Json] | None = None) -> Json:
    return {"type": "paragraph", "content": content} if content else {"type": "paragraph"}


def _text_block(block: Json, extensions: bool) -> list[Json]:
    """A paragraph or heading, and after each part of it the image that stood there."""
    content: list[Json] = []
    out: list[Json] = []

    def part() -> None:
        trimmed = _trimmed(content)
        content.clear()
        if trimmed:
            kind = block if not any(each["type"] == "heading" for each in out) else _paragraph()
            out.append({**kind, "content": trimmed})

    for node in block.get("content", []):
        if node["type"] == "image" and extensions:
            part()
            out.append(node)
        elif node["type"] == "image":
            attrs = node["attrs"]
            link = {"type": "link", "attrs": {"href": attrs["src"]}}
            text = attrs.get("alt") or attrs["src"]
            content.append({"type": "text", "text": text, "marks": [link]})
        else:
            content.append(node)
    part()
    return out or [{key: value for key, value in block.items() if key != "content"}]


def _trimmed(content: list[Json]) -> list[Json]:
    """Without the spaces and breaks that remain around an image."""
    content = joined(content)
    for end in (0, -1):
        while content and content[end]["type"] == "hardBreak" and end == -1:
            content.pop()
        if content and content[end]["type"] == "text" and not content[end].get("marks"):
            text = content[end]["text"]
            text = text.lstrip(" ") if end == 0 else text.rstrip(" ")
            content[end : end + 1 or None] = [{**content[end], "text": text}] if text else []
    return content


def _list(block: Json, extensions: bool) -> Json:
    boxes = [box for box in map(_box, block["content"]) if box]
    if not extensions or block["type"] != "bulletList" or len(boxes) < len(block["content"]):
        items = [_item(item, extensions) for item in block["content"]]
        return {**block, "content": items}
    items = []
    for item, box in zip(block["content"], boxes, strict=True):
        first, *rest = item["content"]
        begin = dict(first["content"][0])
        begin["text"] = begin["text"][box.end() :]
        texts = [*([begin] if begin["text"] else []), *first["content"][1:]]
        node = {"type": "taskItem", "content": [{**first, "content": texts}, *rest]}
        items.append(
            {**_item(node, extensions), "attrs": {"checked": box.group(1) in "xX"}},
        )
    return {"type": "taskList", "content": items}


def _box(item: Json) -> re.Match[str] | None:
    """The box a task begins with."""
    blocks = item["content"]
    texts: list[Any] = blocks[0].get("content", []) if blocks else []
    if not texts or blocks[0]["type"] != "paragraph" or texts[0]["type"] != "text":
        return None
    return None if texts[0].get("marks") else _TASK.match(texts[0]["text"])


def _item(item: Json, extensions: bool) -> Json:
    content = _fitted(item["content"], extensions)
    if not content or content[0]["type"] != "paragraph":
        content.insert(0, _paragraph())
    return {**item, "content": content}


def _cell(cell: Json) -> Json:
    blocks = _fitted([_paragraph(cell["content"])], True)
    return {**cell, "content": blocks}


def _table_text(rows: list[Json]) -> list[Json]:
    """A table for an editor without tables: a paragraph for each row."""
    out = []
    for row in rows:
        content: list[Json] = []
        for index, cell in enumerate(row["content"]):
            content += [{"type": "text", "text": " | "}] if index else []
            content += cell["content"]
        out += _text_block(_paragraph(content), False)
    return out
