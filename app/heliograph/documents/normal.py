"""Any note's JSON brought into the one shape that HTML and Markdown are written from.

Purpose: clients may put anything into a document. Here unknown nodes give way to what they hold,
stray text gets its paragraph, a block inside a paragraph becomes text, attributes become what the
schema says, and links that could run code are taken away from their text.

Guarantee: the result fits `schema.SCHEMA`; all text of the input is in it, in order (but for what a
code block cannot hold: breaks become line ends). Nothing is made up. The input is not changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from heliograph.documents.fragment import Json, joined
from heliograph.documents.schema import CELLS, LISTS, MARKS, NODES, TEXT_BLOCKS

MAX_SPAN = 100
"""Most columns or rows a cell of a table may cover."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.\-]*):")
_LINK_SCHEMES = frozenset({"http", "https", "mailto", "tel", "sms", "ftp", "ftps", "xmpp"})
_IMAGE_DATA = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[a-z0-9+/=]*")
# What browsers skip inside an address before they look for its scheme.
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202e\u2060\ufeff]")


def safe_address(address: object, *, image: bool = False) -> str | None:
    """An address that is safe to put into `href` (or `src`), or None.

    Relative ones are; of those with a scheme the harmless kinds, and for images inline PNG, JPEG,
    GIF and WebP.
    """
    if not isinstance(address, str) or not address:
        return None
    bare = _INVISIBLE.sub("", address).lower()
    scheme = _SCHEME.match(bare)
    if scheme is None:
        return address.strip() if bare else None
    if image and _IMAGE_DATA.fullmatch(bare):
        return address.strip()
    allowed = scheme.group(1) in (("http", "https") if image else _LINK_SCHEMES)
    return address.strip() if allowed else None


def normalise(json: Json) -> Json:
    """A `doc` node that fits the schema; see the module."""
    return {"type": "doc", "content": normal_blocks(_content(json))}


def normal_blocks(nodes: Iterable[Json]) -> list[Json]:
    """Any nodes as blocks that fit the schema; neighbouring inline ones share a paragraph."""
    out: list[Json] = []
    run: list[Json] = []

    def flush() -> None:
        if run:
            content = _inline(run)
            run.clear()
            if content:
                out.append({"type": "paragraph", "content": content})

    for node in nodes:
        kind = node.get("type")
        if kind in ("text", "hardBreak", "image"):
            run.append(node)
        elif kind in NODES and kind not in ("doc", "listItem", "taskItem", "tableRow", *CELLS):
            flush()
            out += _block(str(kind), node)
        else:
            flush()
            out += normal_blocks(_content(node))
    flush()
    return out


def _block(kind: str, node: Json) -> list[Json]:
    attrs = _attrs(kind, node.get("attrs"))
    base: Json = {"type": kind, "attrs": attrs} if attrs else {"type": kind}
    if kind == "horizontalRule":
        return [base]
    if kind == "codeBlock":
        text = "".join(_plain_text(_content(node)))
        return [{**base, "content": [{"type": "text", "text": text}]} if text else base]
    if kind in TEXT_BLOCKS:
        content = _inline(_content(node))
        return [{**base, "content": content} if content else base]
    if kind == "blockquote":
        return [{**base, "content": normal_blocks(_content(node)) or [{"type": "paragraph"}]}]
    if kind in LISTS:
        items = [_item(LISTS[kind], each) for each in _content(node)]
        return [{**base, "content": items}] if items else []
    rows = [_row(each) for each in _content(node)]
    rows = [row for row in rows if row["content"]]
    return [{**base, "content": rows}] if rows else []


def _item(kind: str, node: Json) -> Json:
    inside = _content(node) if node.get("type") in ("listItem", "taskItem") else [node]
    content = normal_blocks(inside)
    if not content or content[0]["type"] != "paragraph":
        content.insert(0, {"type": "paragraph"})
    item: Json = {"type": kind, "content": content}
    if kind == "taskItem":
        attrs = node.get("attrs")
        item["attrs"] = {"checked": isinstance(attrs, dict) and attrs.get("checked") is True}
    return item


def _row(node: Json) -> Json:
    cells = _content(node) if node.get("type") == "tableRow" else [node]
    return {"type": "tableRow", "content": [_cell(each) for each in cells]}


def _cell(node: Json) -> Json:
    known = node.get("type") in CELLS
    kind = str(node["type"]) if known else "tableCell"
    content = normal_blocks(_content(node) if known else [node]) or [{"type": "paragraph"}]
    attrs = _attrs(kind, node.get("attrs"))
    return {"type": kind, "content": content, **({"attrs": attrs} if attrs else {})}


def _attrs(kind: str, told: object) -> Json:
    told = told if isinstance(told, dict) else {}
    if kind == "heading":
        return {"level": _number(told.get("level"), 1, 6, 1)}
    if kind == "orderedList":
        return {"start": _number(told.get("start"), 0, 999_999_999, 1)}
    if kind == "codeBlock":
        language = told.get("language")
        return {"language": language[:50] if isinstance(language, str) and language else None}
    if kind in CELLS:
        align = told.get("align")
        return {
            "colspan": _number(told.get("colspan"), 1, MAX_SPAN, 1),
            "rowspan": _number(told.get("rowspan"), 1, MAX_SPAN, 1),
            "align": align if align in ("left", "center", "right") else None,
        }
    return {}


def _number(value: object, least: int, most: int, default: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return default
    return int(value) if least <= value <= most else default


def _inline(nodes: Iterable[Json]) -> list[Json]:
    return joined(_inline_nodes(nodes))


def _inline_nodes(nodes: Iterable[Json]) -> Iterator[Json]:
    for node in nodes:
        kind = node.get("type")
        if kind == "text":
            text = node.get("text")
            if isinstance(text, str) and text:
                marks = _marks(node.get("marks"))
                yield {"type": "text", "text": text, **({"marks": marks} if marks else {})}
        elif kind == "hardBreak":
            yield {"type": "hardBreak"}
        elif kind == "image":
            yield from _image(node.get("attrs"))
        else:
            yield from _inline_nodes(_content(node))


def _image(told: object) -> Iterator[Json]:
    told = told if isinstance(told, dict) else {}
    alt, title = (
        value if isinstance(value, str) and value else None
        for value in (told.get("alt"), told.get("title"))
    )
    src = safe_address(told.get("src"), image=True)
    if src:
        yield {"type": "image", "attrs": {"src": src, "alt": alt, "title": title}}
    elif alt:
        yield {"type": "text", "text": alt}


def _marks(told: object) -> list[Json]:
    by_name: dict[str, Json] = {}
    for mark in told if isinstance(told, list) else []:
        name = mark.get("type") if isinstance(mark, dict) else None
        if name not in MARKS:
            continue
        by_name[name] = {"type": name}
        if name == "link":
            attrs = mark.get("attrs")
            attrs = attrs if isinstance(attrs, dict) else {}
            href, title = safe_address(attrs.get("href")), attrs.get("title")
            if href is None:
                del by_name[name]
                continue
            by_name[name]["attrs"] = {
                "href": href,
                "title": title if isinstance(title, str) and title else None,
            }
    return [by_name[name] for name in MARKS if name in by_name]


def _plain_text(nodes: Iterable[Json]) -> Iterator[str]:
    for node in nodes:
        if node.get("type") == "text" and isinstance(node.get("text"), str):
            yield node["text"]
        elif node.get("type") == "hardBreak":
            yield "\n"
        else:
            yield from _plain_text(_content(node))


def _content(node: Json) -> list[Any]:
    content = node.get("content")
    return [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []
