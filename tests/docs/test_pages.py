"""Pages hold together: generated parts are current, links lead somewhere, commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchor, blocks, prose

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_generated_parts_are_current() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate-docs", "--check"],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@each_page
def test_code_shown_is_code_that_runs(page: Path) -> None:
    shown = [block for block in blocks(page) if block.language in ("js", "python")]
    by_hand = [block.code for block in shown if not block.part.startswith("examples/")]
    assert not by_hand, "put it into docs/examples, where the tests run it"


@each_page
def test_links_within_the_documentation_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.+)$", prose(file), re.MULTILINE)
            assert fragment in map(anchor, headings), target


@each_page
def test_commands_shown_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = (ROOT / "app" / "heliograph" / "cli.py").read_text()
    text = page.read_text()
    for target in re.findall(r"\bmake ([a-z][a-z-]*)", "".join(re.findall(r"`[^`]+`", text))):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    for command in re.findall(r"\bheliograph ([a-z]+)\b", "".join(re.findall(r"`[^`\n]+`", text))):
        assert command == "chat" or f"def {command}(" in commands, f"heliograph {command}"


@each_page
def test_pages_name_no_place_of_this_machine(page: Path) -> None:
    assert re.findall(r"/(?:work|root|home|tmp)/|index-url", page.read_text()) == []
