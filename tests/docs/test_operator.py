"""The operator's page names what the operator has: every Event, condition, metric and right."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from heliograph_operator import conditions, happenings, metrics
from heliograph_operator.control import Keys
from tests.chart.cases import SMALLEST
from tests.chart.helm import FULLNAME, merged, nested, rendered
from tests.docs.pages import DOCS, codes, prose, read, rows, section

PAGE = read("operator.md")


def test_every_event_is_there_with_its_type_and_object() -> None:
    table = {codes(reason)[0]: (type, at) for reason, type, at, _ in rows(section(PAGE, "Events"))}
    assert table == {
        reason: (each.type, each.about.lower()) for reason, each in happenings.REASONS.items()
    }


def test_every_condition_is_there_with_its_reasons() -> None:
    table: dict[str, dict[str, str]] = {}
    for type, reason, status, _ in rows(section(PAGE, "Conditions")):
        if type:
            table[codes(type)[0]] = {}
        table[[*table][-1]][codes(reason)[0]] = codes(status)[0]
    assert table == {
        type: {reason: status for reason, (status, _) in reasons.items()}
        for type, reasons in conditions.REASONS.items()
    }


def test_every_metric_is_there() -> None:
    exported = {
        f"{each._name}_total" if isinstance(each, Counter) else each._name
        for each in vars(metrics).values()
        if isinstance(each, Counter | Gauge)
    }
    assert {codes(name)[0] for name, _ in rows(section(PAGE, "Metrics"))} == exported


def test_every_right_is_there() -> None:
    one = rendered(merged(SMALLEST, nested(operator__enabled=True, operator__watchNodes=True)))
    granted: dict[str, set[str]] = {}
    for each in one.all("Role") + one.all("ClusterRole"):
        for rule in each["rules"]:
            for resource in rule["resources"]:
                granted.setdefault(resource, set()).update(rule["verbs"])
    page = section(PAGE, "Rights")
    table = {
        codes(resource)[0]: {*verbs.split(" of ")[0].replace(";", ",").split(", ")}
        for resource, verbs, *_ in rows(page.split("In Redis")[0])
    }
    assert table == granted
    assert one.has("Deployment", f"{FULLNAME}-operator")


def test_every_key_is_there() -> None:
    keys = Keys("p")
    names = {keys.settings, keys.drains, keys.report("REPLICA"), keys.commands, keys.task_commands}
    table = rows(section(PAGE, "Rights").split("In Redis")[1])
    assert {f"p:{codes(name)[0]}" for name, _ in table} == names


def test_what_it_logs_and_is_told_to_look_for_exists() -> None:
    text = prose(DOCS / "operator.md")
    sources = [path.read_text() for path in (DOCS.parent / "operator").rglob("*.py")]
    for line in ("operator.started", "lease.taken", "kubernetes.away"):
        assert f"`{line}" in text
        assert any(f'"{line}"' in source for source in sources), line
