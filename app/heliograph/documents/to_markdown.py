"""A note's Markdown: CommonMark with GitHub's tables, task lists and strikethrough.

Purpose: `to_markdown` writes the JSON of a note, in the shape `normal.normalise` gives it.

Guarantee: text comes back as the same text when the Markdown is read (`from_markdown`), whatever
signs it holds. What Markdown has no words for is left out: underlining, empty paragraphs, spaces
around a paragraph, merged cells, alignment by style.

Why not markdownify: measured on the same notes it writes code that holds a fence so that the note
falls apart, breaks links with brackets or spaces, joins neighbouring lists, knows no task lists,
escapes far more than needed, and takes five times as long. And a merge needs the Markdown of single
blocks (`merge`).

Source: CommonMark 0.31 and GitHub Flavored Markdown; `inline.py` has the rules inside a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from heliograph.documents.fragment import Json
from heliograph.documents.inline import inline_lines, inline_text
from heliograph.documents.schema import LISTS

_INFO = re.compile(r"[^\s`\\&~]+")
_FENCES = re.compile(r"^ {0,3}(`{3,})", re.MULTILINE)
_SHORT_RULE = {"left": ":---", "center": ":---:", "right": "---:", None: "---"}


def to_markdown(json: Json) -> str:
    """The Markdown of a normalised `doc` node, without a newline at the end."""
    return "\n".join(_blocks(json.get("content", [])))


def block_markdown(block: Json) -> str:
    """The Markdown of one normalised block, as it is written when no list stands before it."""
    return "\n".join(_block(block, False))


def _blocks(blocks: Iterable[Json], *, tight: bool = False, sign: str = "") -> Iterator[str]:
    """The lines of blocks one under the other. Blocks that Markdown cannot show leave no line.

    `sign` is that of the list item which these blocks begin: `- ---` and `- - -` are rules and no
    items, so another one is used behind it.
    """
    first = True
    before, alternate = "", False
    for block in blocks:
        kind = _list_kind(block)
        # Two lists of a kind with nothing between them are told apart by their signs.
        switch = kind != "" and kind == before and not alternate
        switch = switch or (first and kind == "bulletList" and sign == "-")
        lines = _block(block, switch)
        if not lines:
            continue
        if first and sign and block["type"] == "horizontalRule":
            lines = ["___"]
        if not first and not tight:
            yield ""
        yield from lines
        first = False
        before, alternate = kind, switch


def _block(block: Json, alternate: bool) -> list[str]:
    kind = block["type"]
    content = block.get("content", [])
    if kind == "paragraph":
        return inline_lines(content)
    if kind == "heading":
        text = inline_text(content, heading=True)
        return [("#" * block["attrs"]["level"] + " " + text).rstrip()]
    if kind == "codeBlock":
        return _code(block)
    if kind == "horizontalRule":
        return ["---"]
    if kind == "blockquote":
        return [f"> {line}" if line else ">" for line in _blocks(content)] or [">"]
    if kind in LISTS:
        return list(_list(block, alternate))
    return list(_table(content))


def _code(block: Json) -> list[str]:
    text = "".join(node["text"] for node in block.get("content", []))
    fence = "`" * max([3, *(len(run) + 1 for run in _FENCES.findall(text))])
    language = block["attrs"]["language"] or ""
    info = language if _INFO.fullmatch(language) else ""
    return [fence + info, *(re.split(r"\r\n?|\n", text) if text else []), fence]


def _list_kind(block: Json) -> str:
    kind = str(block["type"])
    return {"taskList": "bulletList"}.get(kind, kind) if kind in LISTS else ""


def _list(block: Json, alternate: bool) -> Iterator[str]:
    tight = all(_is_tight(item) for item in block["content"])
    number = block["attrs"]["start"] if block["type"] == "orderedList" else None
    for index, item in enumerate(block["content"]):
        if number is None:
            sign = "*" if alternate else "-"
        else:
            sign = f"{min(number + index, 999_999_999)}{')' if alternate else '.'}"
        indent = " " * (len(sign) + 1)
        lines = list(_blocks(item["content"], tight=tight, sign=sign))
        if item["type"] == "taskItem":
            box = "[x]" if item["attrs"]["checked"] else "[ ]"
            if _is_empty(item["content"][0]):
                lines = [box, *(["", *lines] if lines else [])]
            else:
                lines[0] = f"{box} {lines[0]}"
        if index and not tight:
            yield ""
        yield f"{sign} {lines[0]}".rstrip() if lines else sign
        yield from (indent + line if line else "" for line in lines[1:])


def _is_tight(item: Json) -> bool:
    """Whether an item can be written without blank lines: a paragraph, then at most lists."""
    first, *rest = item["content"]
    rest = [block for block in rest if not _is_empty(block)]
    if _is_empty(first) and item["type"] != "taskItem" and rest:
        first, *rest = rest
    return first["type"] == "paragraph" and all(_may_follow_text(block) for block in rest)


def _may_follow_text(block: Json) -> bool:
    """Whether a list may stand right under a line of text: not when it begins empty, or above 1."""
    if block["type"] not in LISTS or block.get("attrs", {}).get("start", 1) != 1:
        return False
    first = block["content"][0]
    empty = first["type"] != "taskItem" and all(_is_empty(each) for each in first["content"])
    return not empty and all(_is_tight(item) for item in block["content"])


def _is_empty(block: Json) -> bool:
    return block["type"] == "paragraph" and not inline_lines(block.get("content", []))


def _table(rows: list[Json]) -> Iterator[str]:
    cells = [[_cell_text(cell) for cell in _spread(row)] for row in rows]
    width = max(len(row) for row in cells)
    aligns = [cell.get("attrs", {}).get("align") for cell in _spread(rows[0])]
    aligns += [None] * (width - len(aligns))
    for index, row in enumerate(cells):
        yield "| " + " | ".join([*row, *[""] * (width - len(row))]) + " |"
        if index == 0:
            yield "| " + " | ".join(_SHORT_RULE[align] for align in aligns) + " |"


def _spread(row: Json) -> list[Json]:
    """The cells of a row; one that covers several columns is followed by empty ones."""
    out: list[Json] = []
    for cell in row["content"]:
        out += [cell, *[{"content": []}] * (cell.get("attrs", {}).get("colspan", 1) - 1)]
    return out


def _cell_text(cell: Json) -> str:
    nodes: list[Json] = []
    for content in _text_blocks(cell.get("content", [])):
        nodes += [{"type": "hardBreak"}, *content]
    return inline_text(nodes).replace("|", "\\|")


def _text_blocks(blocks: Iterable[Json]) -> Iterator[list[Json]]:
    for block in blocks:
        if block["type"] in ("paragraph", "heading"):
            yield block.get("content", [])
        elif block["type"] == "codeBlock":
            for node in block.get("content", []):
                yield [{**node, "marks": [{"type": "code"}]}]
        else:
            yield from _text_blocks(block.get("content", []))
