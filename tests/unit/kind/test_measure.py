"""What clients told becomes figures of a phase, and a verdict."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kind.measure import Fact, Limits, Measured, exceeded, measure

WAYS: dict[int | str, str] = {0: "websocket", 1: "polling", "python-0": "python-polling"}


def lost(person: int | str, at: float, reason: str = "transport close") -> Fact:
    return {"fact": "lost", "person": person, "at": at, "reason": reason}


def back(person: int | str, since: float, at: float, recovered: bool = True) -> Fact:
    return {"fact": "back", "person": person, "since": since, "at": at, "recovered": recovered}


def silent(person: int | str, since: float, at: float) -> Fact:
    return {"fact": "silent", "person": person, "since": since, "at": at}


def of(*facts: Fact, since: float = 10_000, until: float = 20_000, **more: Any) -> Measured:
    return measure(facts, WAYS, since, until, **more)


def test_the_longest_break_is_kept_for_each_way() -> None:
    measured = of(
        lost(0, 11_000), lost(1, 11_000), back(0, 11_000, 12_500), back(1, 11_000, 11_200),
        lost(0, 13_000), back(0, 13_000, 13_100, recovered=False),
    )  # fmt: skip
    assert measured.outage == 1.5
    assert measured.outages == {"websocket": 1.5, "polling": 0.2}
    assert (measured.lost, measured.recovered) == (3, 2)
    assert measured.reasons == {"transport close": 3}


def test_a_break_that_goes_on_counts_until_the_end_of_the_phase() -> None:
    assert of(lost(0, 16_000)).outage == 4
    assert of(lost(0, 16_000), back(0, 16_000, 25_000)).outage == 4


def test_a_break_belongs_with_its_whole_length_to_each_phase_it_touches() -> None:
    facts = [lost(0, 8_000), back(0, 8_000, 11_000)]
    assert of(*facts).outage == 3
    assert of(*facts, since=11_500).outage == 0
    assert of(*facts, since=0, until=7_000).outage == 0
    assert (of(*facts).lost, of(*facts).recovered) == (0, 1)


def test_a_silence_that_is_not_over_counts() -> None:
    assert of(silent("python-0", 12_000, 14_000)).silences == {"python-polling": 2}
    assert of(silent_since=19_500).silence == 0
    assert of(silent(0, 12_000, 14_000), silent_since=13_000).silence == 7


def test_what_was_wrong_and_refused_counts_only_within_the_phase() -> None:
    wrong = {"fact": "wrong", "person": 0, "kind": "doubles"}
    refused = {"fact": "refused", "person": 1, "error": "503"}
    times = (9_000, 15_000, 21_000)
    measured = of(*({**each, "at": at} for each in (wrong, refused) for at in times))
    assert measured.wrong == 1
    assert measured.refusals == {"503": 1}


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (Measured(10, outage=2.9, outages={"polling": 2.9}, silence=3, lost=9), []),
        (
            Measured(10, outage=3.2, outages={"polling": 3.2, "websocket": 1.0}),
            ["3.2 s (polling) without connection, at most 3 s"],
        ),
        (
            Measured(10, silence=4, silences={"websocket": 4.0}),
            ["4.0 s (websocket) without events, at most 3 s"],
        ),
        (Measured(10, wrong=2), ["2 events lost, doubled or out of order"]),
    ],
)
def test_a_limit_that_is_exceeded_is_said(measured: Measured, said: list[str]) -> None:
    assert exceeded(measured, Limits(outage=3, silence=3)) == said


def test_who_gives_the_cookie_of_a_draining_replica_back_is_refused_once() -> None:
    measured = Measured(10, outages={"browser": 4.5, "page": 1.5}, silences={"browser": 5.0})
    assert exceeded(measured, Limits(3, 3, refused=3)) == []
    late = Measured(10, outages={"browser": 6.5, "page": 3.5})
    assert exceeded(late, Limits(3, 3, refused=3)) == [
        "6.5 s (browser), 3.5 s (page) without connection, at most 3 s"
    ]


def test_a_phase_without_breaks_fails_by_a_single_one() -> None:
    limits = Limits(outage=0, silence=30)
    assert exceeded(of(silent(0, 11_000, 15_000)), limits) == []
    assert exceeded(of(lost(0, 11_000), back(0, 11_000, 11_010)), limits) == [
        "1 connections broke (1 × transport close), none may"
    ]


def test_gaps_that_were_read_are_allowed_only_where_redis_is_away() -> None:
    measured = of({"fact": "wrong", "person": 0, "kind": "gaps", "at": 12_000})
    assert (measured.gaps, measured.wrong) == (1, 0)
    assert exceeded(measured, Limits(3, 3)) == ["1 deltas were missing"]
    assert exceeded(measured, Limits(3, 3, gaps=True)) == []


def test_a_fault_that_no_client_was_near_is_no_success() -> None:
    assert exceeded(of(), Limits(3, 3)) == []
    assert exceeded(of(), Limits(3, 3, touches=True)) == [
        "no connection broke: no client was on what died, so nothing was tested"
    ]
    broken = of(lost(0, 11_000), back(0, 11_000, 12_000))
    assert exceeded(broken, Limits(3, 3, touches=True)) == []
