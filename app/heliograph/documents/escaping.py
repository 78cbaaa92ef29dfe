"""Single signs of Markdown: which to escape, what emphasis touches, how code and links look.

Purpose: the small rules under `inline`. Signs in a text that Markdown would take for its own are
escaped, but no others, so that people can read it.

Source: CommonMark 0.31, sections 2.4 (escapes), 4 (what begins a block), 6.1 (code), 6.2
(flanking), 6.3 (links).
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace

from heliograph.documents.fragment import Json

_PARSER = MarkdownIt("commonmark")
_ESCAPED = re.compile(
    r"[\\`\[]"
    r"|(?<!\s)\*|\*(?!\s)"  # emphasis, but not between spaces
    r"|(?<![^\W_])_|_(?![^\W_])"  # emphasis, but not inside a word
    r"|~(?=~)|(?<=~)~|^~|~$"
    r"|<(?=[A-Za-z/!?])|&(?=#?\w+;)"
)
_SPACES = re.compile(r"\s+")
_LINE_ENDS = frozenset("\r\n\t\v\f\u2028\u2029")
_TABLE_RULE = re.compile(r"[|:\-][|:\- ]*")
_BLOCK_START = re.compile(r"(?P<sign>#{1,6}(?=\s|$)|[+\-](?=\s|$)|>|=+\s*$|-+\s*$)")
_NUMBER_START = re.compile(r"(\d{1,9})(?=[.)](?:\s|$))")
_CLOSING_HASHES = re.compile(r"(^|\s)(#+)\s*$")


def guard_start(line: str, first: bool) -> str:
    """Escape what would make a line something else than text."""
    line = _NUMBER_START.sub(r"\1\\", line, count=1) if line[:1].isdigit() else line
    if _BLOCK_START.match(line) or (not first and _TABLE_RULE.fullmatch(line)):
        return "\\" + line
    return line


def one_line(text: str) -> str:
    """A text without line ends and tabs."""
    # Not one pattern for both: `\s*\n\s*` takes quadratic time on many spaces.
    return _SPACES.sub(lambda run: run[0] if _LINE_ENDS.isdisjoint(run[0]) else " ", text)


def guard_heading(line: str) -> str:
    """Escape the signs at the end of a heading that would be taken for its decoration."""
    return _CLOSING_HASHES.sub(r"\1\\\2", line)


def escape(text: str, *, in_link: bool = False) -> str:
    escaped = _ESCAPED.sub(lambda match: "\\" + match.group(), text)
    return escaped.replace("]", "\\]") if in_link else escaped


def reference(character: str) -> str:
    return f"&#{ord(character)};"


def _is_punctuation(character: str) -> bool:
    return character != "" and (isMdAsciiPunct(ord(character)) or isPunctChar(character))


def is_loose(character: str) -> bool:
    """Whether a character is none of a word: a space, punctuation, or the end of the line."""
    return not character or isWhiteSpace(ord(character)) or _is_punctuation(character)


def may_hold(inside: str, outside: str) -> bool:
    """Whether a sign between these two characters can open, or close, what is inside."""
    return is_loose(outside) or not _is_punctuation(inside)


def code_span(text: str) -> str:
    fence = "`"
    inside = set(re.findall(r"`+", text))
    while fence in inside:
        fence += "`"
    padded = text[0] == "`" or text[-1] == "`"
    padded = padded or (text[0] == " " and text[-1] == " " and text.strip(" ") != "")
    return f"{fence} {text} {fence}" if padded else f"{fence}{text}{fence}"


def link_end(mark: Json) -> str:
    return "](" + destination(mark["attrs"]["href"], mark["attrs"].get("title")) + ")"


def picture(attrs: Json) -> str:
    alt = escape(one_line(attrs["alt"] or ""), in_link=True)
    return f"![{alt}](" + destination(attrs["src"], attrs["title"]) + ")"


def destination(address: str, title: str | None) -> str:
    """What stands in the brackets behind a link: its address, as Markdown writes it, and title."""
    address = _PARSER.normalizeLink(address)
    signs = r"[\s<>\\]" if _balanced(address) else r"[\s<>\\()]"
    address = re.sub(signs, lambda match: f"%{ord(match.group()):02X}", address)
    if not title:
        return address
    title = re.sub(r'[\\"&]', lambda match: "\\" + match.group(), one_line(title))
    return f'{address} "{title}"'


def _balanced(address: str) -> bool:
    """Whether the brackets of an address match, which Markdown then takes as they are."""
    depth = 0
    for character in address:
        depth += (character == "(") - (character == ")")
        if not 0 <= depth <= 20:
            return False
    return depth == 0
