"""Clients of several processes are one crowd."""

from __future__ import annotations

from collections import Counter

from tests.clients.crowd import WAYS, merge, share


def test_ways_are_shared_by_their_weights() -> None:
    assert Counter(share(100, WAYS)) == {
        way: round(weight / sum(WAYS.values()) * 100) for way, weight in WAYS.items()
    }
    assert len(share(7, WAYS)) == 7


def test_few_people_connect_in_different_ways() -> None:
    assert set(share(4, {"a": 2, "b": 1, "c": 1})) == {"a", "b", "c"}


def test_reports_become_one() -> None:
    one = {"events": 1, "gaps": [1], "refusals": {"a": 1}, "longestPauseMs": 5.0, "seconds": 2.0}
    other = {"events": 2, "gaps": [], "refusals": {"a": 2, "b": 1}, "longestPauseMs": 3.0,
             "seconds": 3.0}  # fmt: skip
    assert merge([one, other]) == {
        "events": 3, "gaps": [1], "refusals": {"a": 3, "b": 1}, "longestPauseMs": 5.0,
        "seconds": 3.0,
    }  # fmt: skip
