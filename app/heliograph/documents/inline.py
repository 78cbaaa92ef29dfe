"""Text with marks as one line of Markdown, or several where it has breaks.

Purpose: what stands inside a paragraph, a heading or a cell of a table, written so that it is read
back the same.

Two things make it harder than it looks. Emphasis holds only where its signs touch a
word (CommonMark's flanking rules): spaces move outside, and where a sign would stand between a
letter and a full stop, the letter is written as a reference (`&#97;`). And marks overlap in a note
but nest in Markdown: the one that lasts longest is opened first, and signs that would run together
are told apart by using `_` for the second.

Source: CommonMark 0.31, sections 2.4, 4, 6.1, 6.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

from markdown_it import MarkdownIt

from heliograph.documents.escaping import (
    code_span,
    escape,
    guard_heading,
    guard_start,
    is_loose,
    link_end,
    may_hold,
    one_line,
    picture,
    reference,
)
from heliograph.documents.fragment import Json, joined

_PARSER = MarkdownIt("commonmark", {"html": False}).enable("strikethrough")
_READ = {"strong": "bold", "em": "italic", "s": "strike"}
_ORDER = {"link": 0, "bold": 1, "italic": 2, "strike": 3, "code": 4}
_SIGNS = {"bold": "**", "italic": "*", "strike": "~~"}

_WORDS_AND_ENDS = re.compile(r"^\s+|\S(?:.*\S)?|\s+$")


def inline_lines(nodes: Iterable[Json]) -> list[str]:
    """The lines of a paragraph; a break within it is a backslash at the end of a line."""
    rows: list[list[Json]] = [[]]
    for node in nodes:
        if node["type"] == "hardBreak":
            rows.append([])
        else:
            rows[-1].append(node)
    lines = [guard_start(_line(row), not index) for index, row in enumerate(rows)]
    while lines and not lines[-1]:
        lines.pop()
    return [line + "\\" for line in lines[:-1]] + lines[-1:]


def inline_text(nodes: Iterable[Json], *, heading: bool = False) -> str:
    """The same on one line, breaks as spaces."""
    space: Json = {"type": "text", "text": " "}
    text = _line(space if node["type"] == "hardBreak" else node for node in nodes)
    return guard_heading(text) if heading else text


@dataclass(slots=True)
class _Piece:
    """A part of a line: `text`, a sign that opens or closes emphasis, or what is written already.

    `begins` and `ends` are characters of a text that must be written as references.
    """

    kind: Literal["text", "open", "close", "done"]
    body: str
    in_link: bool = False
    begins: bool = False
    ends: bool = False

    @property
    def first(self) -> str:
        """The first character as Markdown sees it: a reference begins with a sign."""
        referred = self.begins or (self.ends and len(self.body) == 1)
        return "&" if referred else self.body[0]

    @property
    def last(self) -> str:
        referred = self.ends or (self.begins and len(self.body) == 1)
        return ";" if referred else self.body[-1]

    def written(self) -> str:
        if self.kind != "text":
            return self.body
        start, end = int(self.begins), len(self.body) - self.ends
        lead = reference(self.body[0]) if self.begins else ""
        if end < start:  # one character, named twice
            return lead
        tail = reference(self.body[-1]) if self.ends else ""
        return lead + escape(self.body[start:end], in_link=self.in_link) + tail


def _line(nodes: Iterable[Json]) -> str:
    runs = _runs(nodes)
    for dropped in ((), ("italic",), tuple(_SIGNS)):
        if dropped:
            runs = joined(
                {**run, "marks": [mark for mark in run["marks"] if mark["type"] not in dropped]}
                for run in runs
            )
        # Once ahead: the spaces that lose marks decide how long a mark lasts, so which is outside.
        runs = joined(run for run, _, _ in _nested(runs))
        pieces = _pieces(runs)
        while _separate(pieces):
            pass
        line = "".join(piece.written() for piece in pieces).strip()
        if not _is_intricate(pieces) or _reads_as(line, runs):
            break
    return line


def _is_intricate(pieces: list[_Piece]) -> bool:
    """Whether signs of emphasis touch each other, so that their pairing is not plain."""
    signs = [piece.kind in ("open", "close") for piece in pieces]
    return any(one and other for one, other in pairwise(signs)) or signs.count(True) > 8


def _reads_as(line: str, runs: list[Json]) -> bool:
    """Whether a line, read again, has the marks it was written for."""
    read: list[tuple[str, set[str]]] = []
    held: list[str] = []
    for token in _PARSER.parseInline(line)[0].children or []:
        name, _, side = token.type.rpartition("_")
        if side == "open":
            held.append(_READ.get(name, name))
        elif side == "close":
            held.pop()
        elif token.type == "image":
            read.append(("", set(held)))
        elif token.content:
            code = {"code"} if token.type == "code_inline" else set()
            read += [(character, {*held, *code}) for character in token.content]
    wanted = [
        (character, {mark["type"] for mark in run["marks"]})
        for run in runs
        for character in (run["text"] if run["type"] == "text" else [""])
    ]
    return read == wanted


def _pieces(runs: list[Json]) -> list[_Piece]:
    pieces: list[_Piece] = []
    opened: list[tuple[Json, str]] = []

    def close(keep: int) -> None:
        while len(opened) > keep:
            mark, sign = opened.pop()
            link = mark["type"] == "link"
            pieces.append(_Piece("done", link_end(mark)) if link else _Piece("close", sign))

    for run, keep, new in _nested(runs):
        close(keep)
        for mark in new:
            last = pieces[-1] if pieces else None
            sign = _SIGNS.get(mark["type"], "")
            if last and (last.kind, last.body[0]) in (("close", sign[:1]), ("open", "_")):
                sign = sign.replace("*", "_")
            opened.append((mark, sign))
            pieces.append(_Piece("open", sign) if sign else _Piece("done", "["))
        if run["type"] == "image":
            pieces.append(_Piece("done", picture(run["attrs"])))
        elif _is_code(run):
            pieces.append(_Piece("done", code_span(run["text"])))
        else:
            in_link = any(mark["type"] == "link" for mark in run["marks"])
            pieces.append(_Piece("text", run["text"], in_link))
    close(0)
    return pieces


def _nested(runs: list[Json]) -> Iterator[tuple[Json, int, list[Json]]]:
    """Each run, how many of the open marks stay open for it, and which are opened, outermost first.

    A mark ends with the one around it; if it goes on, it is opened once more. Spaces at that place
    come before, without it: no sign of emphasis holds before a space.
    """
    opened: list[Json] = []
    for index, run in enumerate(runs):
        keep = 0
        while keep < len(opened) and opened[keep] in run["marks"]:
            keep += 1
        del opened[keep:]
        new = [mark for mark in run["marks"] if mark not in opened and mark["type"] != "code"]
        new.sort(key=lambda mark: (-_lasts(runs, index, mark), _ORDER[mark["type"]]))
        text = run["text"] if run["type"] == "text" and not _is_code(run) else ""
        words = text.lstrip()
        spaces = text[: len(text) - len(words)]
        if new and spaces:
            held = [mark for mark in run["marks"] if mark in opened]
            yield {**run, "text": spaces, "marks": held}, keep, []
            if not words:
                continue
            run = {**run, "text": words}
        opened += new
        yield run, keep, new


def _separate(pieces: list[_Piece]) -> bool:
    """Have characters written as references where a sign would not hold beside them.

    Returns whether something changed: a reference is a sign to its neighbours, so they need another
    look.
    """
    changed = False
    for index, piece in enumerate(pieces):
        if piece.kind == "text" and piece.body[-1] == "!" and not piece.ends:
            after = pieces[index + 1] if index + 1 < len(pieces) else None
            piece.ends = after is not None and after.body == "["
        if piece.kind not in ("open", "close"):
            continue
        left, right = index - 1, index + 1
        while left >= 0 and _same_run(pieces[left], piece):
            left -= 1
        while right < len(pieces) and _same_run(pieces[right], piece):
            right += 1
        before = pieces[left] if left >= 0 else None
        after = pieces[right] if right < len(pieces) else None
        last, first = before.last if before else "", after.first if after else ""
        if piece.kind == "open" and before and before.kind == "text":
            if not may_hold(first, last):
                before.ends = changed = True
        elif piece.kind == "close" and after and after.kind == "text":
            strict = piece.body[0] == "_" and not is_loose(first)
            if strict or not may_hold(last, first):
                after.begins = changed = True
    return changed


def _same_run(one: _Piece, other: _Piece) -> bool:
    return one.kind in ("open", "close") and one.body[0] == other.body[0]


def _runs(nodes: Iterable[Json]) -> list[Json]:
    """Text of equal marks together, only with marks Markdown has, spaces outside of emphasis."""
    parts: list[Json] = []
    for node in nodes:
        marks = [mark for mark in node.get("marks", []) if mark["type"] in _ORDER]
        if node["type"] != "text":
            parts.append({**node, "marks": marks})
            continue
        text = one_line(node["text"])
        code = any(mark["type"] == "code" for mark in marks)
        pieces = [text] if code else _WORDS_AND_ENDS.findall(text)
        parts += ({"type": "text", "text": piece, "marks": marks} for piece in pieces)
    for space, found in groupby(range(len(parts)), lambda index: _is_space(parts[index])):
        indices = list(found)
        # Spaces keep the marks that go on around and through all of them.
        if space:
            around = [indices[0] - 1, *indices, indices[-1] + 1]
            inside = indices[0] > 0 and indices[-1] + 1 < len(parts)
            held = [
                mark
                for mark in parts[indices[0]]["marks"]
                if inside and all(mark in parts[index]["marks"] for index in around)
            ]
            for index in indices:
                parts[index] = {**parts[index], "marks": held}
    return _trimmed(joined(parts))


def _is_space(part: Json) -> bool:
    return part["type"] == "text" and part["text"].isspace() and not _is_code(part)


def _trimmed(runs: list[Json]) -> list[Json]:
    """Without spaces at the ends of the line, which Markdown does not keep."""
    for end, strip in ((0, str.lstrip), (-1, str.rstrip)):
        while runs and runs[end]["type"] == "text" and not _is_code(runs[end]):
            text = strip(runs[end]["text"])
            if text:
                runs[end] = {**runs[end], "text": text}
                break
            del runs[end]
    return runs


def _is_code(run: Json) -> bool:
    return any(mark["type"] == "code" for mark in run["marks"])


def _lasts(runs: list[Json], index: int, mark: Json) -> int:
    end = index
    while end < len(runs) and mark in runs[end]["marks"]:
        end += 1
    return end - index
