"""The plans, one function at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from heliograph_operator import conditions, happenings, times
from heliograph_operator.gateway import Gateway, Spec, choose
from heliograph_operator.kubernetes import objects
from heliograph_operator.plans import autotune, deletion_cost, drains, rebalance, tuning
from heliograph_operator.pods import Pod, is_cordoned
from heliograph_operator.reports import Load, Report, by_pod, parse
from heliograph_operator.world import World

JSON: some.SearchStrategy[Any] = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    max_leaves=10,
)
NAMES = (
    "metadata", "spec", "status", "name", "annotations", "conditions", "settings", "autotune",
    "deletionTimestamp", "type", "min", "max", "generation",
)  # fmt: skip
BODIES: some.SearchStrategy[Any] = some.recursive(
    JSON, lambda inner: some.dictionaries(some.sampled_from(NAMES), inner), max_leaves=12
)


def pods(**facts: str | bool) -> dict[str, Pod]:
    """Pods by name; a sentence: it is annotated."""
    return {
        name: Pod(name, ready=True, annotated=fact if isinstance(fact, str) else "")
        for name, fact in facts.items()
    }


def loads(**connections: int) -> dict[str, Load]:
    """One replica for each pod."""
    return by_pod(Report(f"r-{pod}", pod, connections=count) for pod, count in connections.items())


def plan(
    known: dict[str, Pod], standing: dict[str, drains.Order] | None = None, **more: Any
) -> drains.Plan:
    given = {"heed_cordons": True, "now": 100.0, **more}
    return drains.plan(
        known, given.pop("cordoned", frozenset()), standing or {}, given.pop("loads", {}), **given
    )


# -- objects of any shape -------------------------------------------------------------------


@settings(deadline=None)
@given(BODIES)
def test_any_body_is_read_without_an_error(body: Any) -> None:
    Pod.of(body)
    Gateway.of(body)
    is_cordoned(body)
    autotune.Steps.of(body)
    world = World()
    for kind in ("pods", "nodes", "gateways"):
        world.replace(kind, [body], world.mark())
        world.event(kind, "MODIFIED", body)
        world.event(kind, "DELETED", body)


@settings(deadline=None)
@given(some.binary() | JSON.map(lambda said: json.dumps(said).encode()))
def test_any_bytes_are_read_without_an_error(raw: bytes) -> None:
    assert parse(raw, "id") is None
    tuning.decode(raw)


GOOD: dict[str, Any] = {
    "replica": "id", "pod": "fleet-1", "version": "1", "at": 5, "state": "running",
    "connections": 3, "sessions": 3, "tasks": 1, "revision": "r", "refused": None,
    "settings": {"LOG_LEVEL": "info", "WEBSOCKET_SERVER_PING_INTERVAL": 25, "OTHER": []},
    "lag_ms": 1.5, "missed_pongs": 0, "late_renewals": 0, "shed": 0,
}  # fmt: skip


def test_a_report_is_read() -> None:
    report = parse(json.dumps(GOOD).encode(), "id")
    assert report is not None
    assert (report.pod, report.connections, report.lag_ms) == ("fleet-1", 3, 1.5)
    assert report.settings == {"LOG_LEVEL": "info", "WEBSOCKET_SERVER_PING_INTERVAL": 25}
    refused = parse(json.dumps({**GOOD, "refused": ["new", "why"]}).encode(), "id")
    assert refused is not None
    assert refused.refused == ("new", "why")


@pytest.mark.parametrize(
    "changes",
    [
        {"replica": "another"}, {"pod": ""}, {"pod": "x" * 300}, {"pod": "a\nb"},
        {"state": "asleep"}, {"connections": -1}, {"connections": 1.5}, {"connections": True},
        {"connections": 1e300}, {"tasks": "2"}, {"lag_ms": None}, {"settings": []},
        {"settings": {"LOG_LEVEL": 5}}, {"refused": ["one"]}, {"refused": 5}, {"revision": 7},
    ],
)  # fmt: skip
def test_a_report_that_cannot_be_is_none(changes: dict[str, Any]) -> None:
    assert parse(json.dumps({**GOOD, **changes}).encode(), "id") is None


@pytest.mark.parametrize(
    "name", [name for name in GOOD if name not in ("version", "at", "sessions")]
)
def test_a_report_that_lacks_something_is_none(name: str) -> None:
    said = {key: value for key, value in GOOD.items() if key != name}
    assert parse(json.dumps(said).encode(), "id") is None


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        (None, ""),
        ("", ""),
        ("false", ""),
        ("False", ""),
        ("true", "it is annotated heliograph.dev/drain"),
        ("a disk\nis bad", "a disk is bad"),
        ("x" * 1000, "x" * 200),
    ],
)
def test_why_a_person_wants_a_pod_empty(annotation: str | None, why: str) -> None:
    pod = Pod.of({"metadata": {"name": "a", "annotations": {"heliograph.dev/drain": annotation}}})
    assert pod is not None
    assert pod.annotated == why


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_is_over_is_none(phase: str) -> None:
    assert Pod.of({"metadata": {"name": "a"}, "status": {"phase": phase}}) is None


def test_a_pod_of_several_replicas_is_as_its_worst() -> None:
    def load(*states: Any) -> Load:
        return Load("a", tuple(Report(str(n), "a", state=state) for n, state in enumerate(states)))

    assert load("drained", "running").state == "running"
    assert load("drained", "draining").state == "draining"
    assert load("drained", "drained").empty
    assert not replace(load("drained"), replicas=(Report("r", "a", "drained", tasks=1),)).empty


# -- drains ---------------------------------------------------------------------------------


def test_one_of_two_drains_and_the_other_is_refused() -> None:
    found = plan(pods(a="bad", b="bad too"))
    assert found.begun == ("a",)
    assert found.refused == {"b": "bad too"}
    assert found.write == {"a": drains.Order("bad", 100.0)}


def test_a_pod_that_says_it_takes_nobody_is_no_refuge() -> None:
    away = by_pod([Report("r", "b", state="drained"), Report("s", "a")])
    assert plan(pods(a="bad", b=True), loads=away).refused == {"a": "bad"}


def test_a_pod_that_is_not_ready_and_silent_is_no_refuge() -> None:
    known = {**pods(a="bad"), "b": Pod("b", ready=False)}
    assert plan(known).refused == {"a": "bad"}


def test_deletion_always_counts_and_keeps_its_time() -> None:
    known = {"a": Pod("a", deleting="the pod is deleted", annotated="bad")}
    found = plan(known, {"a": drains.Order("bad", 7.0)})
    assert found.orders == {"a": drains.Order("the pod is deleted", 7.0)}
    assert found.begun == ()
    assert set(found.write) == {"a"}


def test_a_drain_that_stands_is_not_undone_for_want_of_others() -> None:
    standing = {"a": drains.Order("bad", 7.0)}
    found = plan({**pods(a="bad"), "b": Pod("b", deleting="the pod is deleted")}, standing)
    assert set(found.orders) == {"a", "b"}


def test_what_is_no_longer_asked_for_is_undone_and_what_is_gone_is_gone() -> None:
    standing = {"a": drains.Order("bad", 7.0), "x": drains.Order("bad", 7.0)}
    found = plan(pods(a=True, b=True), standing)
    assert (found.undone, found.gone, found.orders) == (("a",), ("x",), {})


def test_cordons() -> None:
    known = {"a": Pod("a", node="n1", ready=True), "b": Pod("b", node="n2", ready=True)}
    assert plan(known, cordoned={"n1"}).begun == ("a",)
    assert plan(known, cordoned={"n1"}, heed_cordons=False).begun == ()
    assert plan(known, cordoned={"n1", "n2"}).refused == {"b": "its node n2 is cordoned"}
    standing = {"a": drains.Order("its node n1 is cordoned", 7.0)}
    assert plan(known, standing, cordoned=None).orders == standing
    assert plan(known, standing, cordoned=None, heed_cordons=False).undone == ("a",)


# -- settings -------------------------------------------------------------------------------


def test_the_same_wish_is_the_same_revision() -> None:
    one = tuning.Order.of({"LOG_LEVEL": "info", "WEBSOCKET_HEARTBEAT_INTERVAL": 9.0})
    two = tuning.Order.of({"WEBSOCKET_HEARTBEAT_INTERVAL": 9.0, "LOG_LEVEL": "info"})
    assert one == two == tuning.decode(two.encode())
    assert one != tuning.Order.of({"LOG_LEVEL": "info"})
    assert tuning.Order.of({}) == tuning.Order() == tuning.decode(None)


def test_answers() -> None:
    order = tuning.Order.of({"LOG_LEVEL": "info"})
    reports = [
        Report("1", "a", revision=order.revision),
        Report("2", "b"),
        Report("3", "c", refused=(order.revision, "no")),
        Report("4", "d", revision=order.revision, refused=("older", "no")),
    ]
    found = tuning.answers(order, reports)
    assert (found.waiting, found.refused, found.done) == (("b",), {"c": "no"}, False)
    assert tuning.answers(order, reports[:1]).done


def test_settings_that_differ_are_not_in_force() -> None:
    reports = [
        Report("1", "a", settings={"LOG_LEVEL": "info", "WEBSOCKET_HEARTBEAT_INTERVAL": 9}),
        Report("2", "b", settings={"LOG_LEVEL": "debug", "WEBSOCKET_HEARTBEAT_INTERVAL": 9}),
    ]
    assert tuning.in_force(reports) == {"heartbeatIntervalSeconds": 9}
    assert tuning.in_force([]) == {}


# -- tuning ---------------------------------------------------------------------------------

SPEC = Spec.model_validate({"autotune": {"enabled": True}})
LATE = autotune.Round(lag_ms=600, connections=10)
CALM = autotune.Round(connections=10)


def rounds(steps: autotune.Steps, *seen: autotune.Round) -> autotune.Steps:
    streak = autotune.Streak()
    for one in seen:
        steps, streak = autotune.advance(SPEC, steps, streak, one)
    return steps


def test_three_bad_rounds_in_a_row_are_a_step() -> None:
    assert rounds(autotune.Steps(), LATE, LATE).ping == 0
    assert rounds(autotune.Steps(), LATE, LATE, CALM, LATE).ping == 0
    up = rounds(autotune.Steps(), LATE, LATE, LATE)
    assert (up.ping, up.lock) == (1, 0)
    assert "600 ms" in up.reason


def test_a_step_comes_back_after_thirty_calm_rounds() -> None:
    one = autotune.Steps(ping=2, lock=1)
    assert rounds(one, *[CALM] * 29).ping == 2
    down = rounds(one, *[CALM] * 30)
    assert (down.ping, down.lock) == (1, 0)
    assert rounds(one, *[CALM] * 29, LATE, *[CALM] * 29).ping == 2


def test_there_is_no_step_beyond_the_bounds() -> None:
    steps = rounds(autotune.Steps(), *[LATE] * 60)
    values = autotune.values(SPEC, steps)
    assert values["WEBSOCKET_SERVER_PING_INTERVAL"] == 60
    assert steps.ping == 3
    # So it is back as fast as it went.
    assert autotune.values(SPEC, replace(steps, ping=2)) != values


def test_missed_pongs_count_by_share_and_renewals_each() -> None:
    assert not autotune.Round(missed=2, connections=100).bad_pings
    assert autotune.Round(missed=3, connections=100).bad_pings
    assert autotune.Round(late=1).bad_locks
    up = rounds(autotune.Steps(), *[autotune.Round(late=1)] * 3)
    assert (up.ping, up.lock) == (0, 1)


def test_a_replica_that_is_new_has_no_past() -> None:
    before = {"1": Report("1", "a", missed_pongs=5)}
    now = {
        "1": Report("1", "a", missed_pongs=7, connections=3),
        "2": Report("2", "b", missed_pongs=9, late_renewals=9, connections=4),
    }
    assert autotune.round_of(before, now, 12) == autotune.Round(12, 2, 7, 0)


def test_steps_survive_in_the_status() -> None:
    steps = autotune.Steps(2, 1, "why", "2026-01-01T00:00:00Z")
    assert autotune.Steps.of({"autotune": steps.status()}) == steps
    assert autotune.Steps.of({"autotune": {"step": -5, "lockStep": 10**9}}).lock == 20


# -- moving ---------------------------------------------------------------------------------


def moves(*connections: int, margin: float = 20, rate: float = 5) -> list[tuple[str, int]]:
    takers = [Report(f"r{n}", f"p{n}", connections=count) for n, count in enumerate(connections)]
    return rebalance.plan(takers, margin_percent=margin, per_second=rate)


def test_what_is_above_the_margin_is_shed_at_most_so_fast() -> None:
    assert moves(300, 0) == [("r0", 50)]
    assert moves(130, 70, 100) == [("r0", 10)]
    assert moves(120, 100, 80) == []
    assert moves(300, 290, 0, rate=10) == [("r0", 64), ("r1", 36)]
    assert moves(500) == moves() == moves(0, 0) == moves(1, 0) == moves(2, 1) == []


@settings(deadline=None)
@given(some.lists(some.integers(0, 5000), min_size=1, max_size=8))
def test_shedding_never_takes_a_replica_below_the_mean(connections: list[int]) -> None:
    mean = sum(connections) / len(connections)
    for name, count in moves(*connections, rate=1000):
        assert connections[int(name[1:])] - count >= mean


# -- deletion costs -------------------------------------------------------------------------


def costs(written: dict[str, int | None], right: dict[str, int], *draining: str) -> dict[str, int]:
    known = {name: Pod(name, cost=cost) for name, cost in written.items()}
    return deletion_cost.plan(known, loads(**right), set(draining))


def test_a_cost_is_written_when_it_is_off_by_enough() -> None:
    assert costs({"a": None, "b": 50}, {"a": 9, "b": 50}) == {"a": 9}
    assert costs({"a": 100, "b": 50}, {"a": 110, "b": 48}) == {}
    assert costs({"a": 100, "b": 50}, {"a": 111, "b": 44}) == {"a": 111, "b": 44}
    assert costs({"a": None}, {"a": 0}) == {}


def test_a_cost_is_written_when_the_order_would_be_wrong() -> None:
    assert costs({"a": 100, "b": 101}, {"a": 102, "b": 101}) == {"a": 102}
    assert costs({"a": 6, "b": 6, "c": 6}, {"a": 5, "b": 6, "c": 6}) == {"a": 5}
    assert costs({"a": 6, "b": 6, "c": 6}, {"a": 6, "b": 6, "c": 7}) == {}


def test_a_pod_that_drains_costs_least_and_is_right_at_once_when_it_is_back() -> None:
    assert costs({"a": 1, "b": 0}, {"a": 1, "b": 0}, "a") == {"a": -1}
    assert costs({"a": -1, "b": 5}, {"a": 0, "b": 5}) == {"a": 0}


@settings(deadline=None)
@given(
    some.dictionaries(some.sampled_from("abcdef"), some.integers(0, 30), min_size=2),
    some.data(),
)
def test_the_cheapest_pod_is_the_emptiest(right: dict[str, int], data: some.DataObject) -> None:
    written = {name: data.draw(some.integers(-1, 30)) for name in right}
    after = {**written, **costs({**written}, right)}
    least = min(right.values())
    emptiest = [name for name, count in right.items() if count == least]
    if len(emptiest) == 1:
        assert after[emptiest[0]] == min(after.values())


# -- resources, conditions, times -----------------------------------------------------------


def test_the_oldest_of_a_deployment_counts() -> None:
    def one(name: str, created: str, **more: Any) -> Gateway:
        return Gateway(name, more.pop("deployment", "fleet"), created=created, **more)

    old, young = one("b", "2025"), one("a", "2026")
    assert choose([young, old, one("c", "2024", deployment="x")], "fleet") == (old, [young])
    assert choose([young, one("b", "2025", leaving=True)], "fleet") == (young, [])
    assert choose([], "fleet") == (None, [])


def test_the_transition_of_a_condition_is_that_of_its_status() -> None:
    one = conditions.condition("Ready", "FleetRuns")
    first = conditions.merged([one], None, generation=1, now="T1")
    again = conditions.merged([replace(one, message="other")], first, generation=2, now="T2")
    assert again[0]["lastTransitionTime"] == "T1"
    assert (again[0]["message"], again[0]["observedGeneration"]) == ("other", 2)
    bad = conditions.condition("Ready", "NoReplicas")
    assert conditions.merged([bad], again, generation=2, now="T3")[0]["lastTransitionTime"] == "T3"


@pytest.mark.parametrize("seconds", [-1e300, float("nan"), float("inf"), 1e18, 0.0])
def test_a_time_of_any_size_has_a_name(seconds: float) -> None:
    assert times.rfc3339(seconds).endswith("Z")


def test_times_go_both_ways() -> None:
    assert times.seconds(times.rfc3339(1_800_000_000)) == 1_800_000_000
    assert times.seconds("tomorrow") == 0


def test_every_reason_has_a_sentence() -> None:
    for name, reason in happenings.REASONS.items():
        assert name.isalnum(), name
        assert reason.sentence[0].isupper() or reason.sentence.startswith("{")
        assert len(reason.sentence) < 300


def test_an_event_that_is_too_long_is_cut() -> None:
    told = happenings.happening("SpecInvalid", why="x" * 5000)
    event = objects.event(told, {}, name="e", namespace="n", instance="i", now=0)
    assert len(event["message"]) <= 1024
