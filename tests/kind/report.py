"""What a run found: as JSON to compare, and as the tables of docs/failover.md.

    python -m tests.kind.report            # write the tables of build/kind/ into the page

A table stands between ``<!-- measured: MODE -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.kind.cluster import ROOT
from tests.kind.measure import UNTOLD, Measured

BUILD = ROOT / "build" / "kind"
PAGE = ROOT / "docs" / "failover.md"
_TABLE = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Check:
    """One thing that was asked of the release.

    :ivar said: what was seen, or why it failed.
    """

    name: str
    ok: bool
    said: str
    seconds: float


@dataclass(frozen=True)
class Phase:
    """One fault under load.

    :ivar allowed: the limits in words. :ivar complaints: what was more than allowed.
    :ivar notes: which pod, which node.
    """

    name: str
    title: str
    allowed: str
    measured: Measured
    complaints: list[str]
    notes: list[str]


@dataclass
class Report:
    """A run with one form of Redis.

    :ivar history: the clients' own report: counts, and what was lost, doubled, out of order.
    :ivar ways: how many clients connected in which way.
    """

    mode: str
    people: int
    ways: dict[str, int] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    history: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0

    @property
    def complaints(self) -> list[str]:
        """All that went wrong, as sentences; empty when all is well."""
        failed = [f"{check.name}: {check.said}" for check in self.checks if not check.ok]
        over = [f"{phase.title}: {said}" for phase in self.phases for said in phase.complaints]
        return failed + over

    def write(self, folder: Path = BUILD) -> Path:
        """Write ``report-MODE.json`` and ``.md``; the path of the latter."""
        folder.mkdir(parents=True, exist_ok=True)
        data = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        (folder / f"report-{self.mode}.json").write_text(data + "\n")
        page = folder / f"report-{self.mode}.md"
        page.write_text(markdown(asdict(self)))
        return page


def markdown(report: dict[str, Any]) -> str:
    """The tables of a report, as read from its JSON."""
    columns = (
        "what dies", "limit", "without connection", "without events", "broken", "recovered",
        "read again", "wrong",
    )  # fmt: skip
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for phase in report["phases"]:
        measured = phase["measured"]
        title = phase["title"] + (" **(exceeded)**" if phase["complaints"] else "")
        rows.append(
            f"| {title} | {phase['allowed']} | {span(measured['outage'])} "
            f"| {pause(measured['silence'])} | {measured['lost']} | {measured['recovered']} "
            f"| {measured['gaps']} | {measured['wrong']} |"
        )
    # Names of pods and nodes are for who looks into it; sentences are for all.
    told = [
        f"* {phase['title']}: {_cell(note)}"
        for phase in report["phases"]
        for note in phase["notes"]
        if " " in note
    ]
    lines = [*rows, "", *told, *([""] if told else [])]
    history = report["history"]
    if history:
        compared = f"{history['answers']:.0f} answers and {history['posts']:.0f} posts"
        rate = f"{history['seconds']:.0f} s, {history['eventsPerSecond']:.0f} events/s"
        lines += [f"{report['people']} clients, {rate}: {compared} compared with the server's.", ""]
    lines += ["| check | seen |", "|---|---|"]
    lines += [
        f"| {check['name']} | {'' if check['ok'] else '**failed**: '}{_cell(check['said'])} |"
        for check in report["checks"]
    ]
    return "\n".join(lines) + "\n"


def span(seconds: float) -> str:
    """A break, for people."""
    return f"{seconds:.1f} s" if seconds else "–"


def pause(seconds: float) -> str:
    """A silence, for people."""
    return f"{seconds:.1f} s" if seconds else f"< {UNTOLD:g} s"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:300]


def write_page(page: Path = PAGE, folder: Path = BUILD) -> list[str]:
    """Write the tables of the reports there are into the page; the modes written."""
    written = []

    def table(found: re.Match[str]) -> str:
        file = folder / f"report-{found[2]}.json"
        if not file.exists():
            return found[0]
        written.append(found[2])
        return f"{found[1]}{markdown(json.loads(file.read_text()))}{found[3]}"

    page.write_text(_TABLE.sub(table, page.read_text()))
    return written


if __name__ == "__main__":
    modes = write_page()
    print(f"{PAGE.name}: {', '.join(modes) or 'no report in build/kind/: run `make kind-test`'}")
    sys.exit(0 if modes else 1)
