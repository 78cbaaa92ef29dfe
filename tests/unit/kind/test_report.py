"""A run's findings become a verdict, files, and the tables of a page."""

from __future__ import annotations

from pathlib import Path

from tests.kind.measure import Measured
from tests.kind.report import Check, Phase, Report, write_page


def report(*complaints: str) -> Report:
    measured = Measured(12, outage=1.26, silence=0, lost=7, recovered=6)
    phase = Phase("pod-deleted", "an app pod deleted", "3 s", measured, list(complaints), ["pod-1"])
    history = {"answers": 9, "posts": 4, "seconds": 60.2, "eventsPerSecond": 480.4}
    check = Check("helm-test", True, "passed", 3.0)
    return Report("sentinel", 200, {}, [check], [phase], history, 99.0)


def test_complaints_are_of_checks_and_of_phases() -> None:
    found = report("4.0 s (polling) without connection, at most 3 s")
    found.checks.append(Check("sticky", False, "Polling clients met errors: {}", 1.0))
    assert found.complaints == [
        "sticky: Polling clients met errors: {}",
        "an app pod deleted: 4.0 s (polling) without connection, at most 3 s",
    ]
    assert report().complaints == []


def test_tables_of_a_report_are_written_into_the_page(tmp_path: Path) -> None:
    report().write(tmp_path)
    page = tmp_path / "failover.md"
    around = "# Title\n\n<!-- measured: {} -->\n{}<!-- end -->\n"
    page.write_text(around.format("sentinel", "old\n") + around.format("cluster", "older\n"))
    assert write_page(page, tmp_path) == ["sentinel"]
    text = page.read_text()
    assert "| an app pod deleted | 3 s | 1.3 s | < 1 s | 7 | 6 | 0 | 0 |" in text
    assert "200 clients, 60 s, 480 events/s: 9 answers and 4 posts" in text
    assert "| helm-test | passed |" in text
    assert "old\n" not in text
    assert "older\n" in text, "a form without a report keeps its table"


def test_what_exceeded_its_limit_shows_in_the_table(tmp_path: Path) -> None:
    page = report("too long").write(tmp_path).read_text()
    assert "an app pod deleted **(exceeded)**" in page
