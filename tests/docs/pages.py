"""The documentation as the tests read it: pages, tables, fenced blocks, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; ``part`` is the name of the generated part it stands in, if it does."""

    language: str
    code: str
    part: str


def read(name: str) -> str:
    """A page of docs/."""
    return (DOCS / name).read_text()


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    found = []
    pattern = r"(?:<!-- make docs: (\S+) -->\n)?^```(\w*)\n(.*?)^```$"
    for part, language, code in re.findall(pattern, page.read_text(), re.DOTALL | re.MULTILINE):
        found.append(Block(language, code, part))
    return found


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found is not None, f"no heading {heading!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows, without heads and rules."""
    found: list[list[str]] = []
    for line, following in zip(text.splitlines(), [*text.splitlines()[1:], ""], strict=True):
        is_rule = re.fullmatch(r"\|[-|: ]+\|", line) is not None
        is_head = re.fullmatch(r"\|[-|: ]+\|", following) is not None
        if line.startswith("|") and not is_rule and not is_head:
            # A bar inside code is no border.
            masked = _CODE.sub(lambda code: code[0].replace("|", "\0"), line)
            found.append([c.strip().replace("\0", "|") for c in masked.strip("|").split("|")])
    return found


def codes(cell: str) -> list[str]:
    """What is set as code in a cell."""
    return _CODE.findall(cell)


def fields(shape: str) -> set[str]:
    """The names of ``{a, b?, c: {…}}`` or ``[{…}]``, at its first level."""
    inside = shape.strip().strip("[]").strip().removeprefix("{").removesuffix("}")
    names, depth, word = set(), 0, ""
    for sign in f"{inside},":
        depth += (sign in "{[") - (sign in "}]")
        if sign == "," and depth == 0:
            names.add(word.split(":")[0].strip())
            word = ""
        else:
            word += sign
    return names - {"", "…"}


def anchor(heading: str) -> str:
    """The anchor that hosting sites make of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
