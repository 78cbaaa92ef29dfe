"""Which session may speak for which Yjs client."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.documents.awareness import (
    MAX_AWARENESS_BYTES,
    AwarenessState,
    decode_awareness,
    encode_awareness,
)
from heliograph.documents.cursors import MAX_CLIENTS, Cursors
from heliograph.errors import HeliographError

ANN = {"id": "ann", "name": "Ann", "color": "#111111"}
BEN = {"id": "ben", "name": "Ben", "color": "#222222"}


def said(*states: tuple[int, int, dict[str, Any] | None]) -> bytes:
    return encode_awareness(AwarenessState(*state) for state in states)


def states(update: bytes | None) -> dict[int, Any]:
    assert update is not None
    return {each.client_id: each.state for each in decode_awareness(update)}


def code(cursors: Cursors, sid: str, user: dict[str, str], update: object) -> str:
    with pytest.raises(HeliographError) as refusal:
        cursors.take(sid, user, update)
    return refusal.value.code


def test_the_user_in_a_state_is_the_servers() -> None:
    forged = {"user": {"id": "root", "name": "Root", "color": "#abcdef"}, "cursor": 1}
    shown = states(Cursors().take("a", ANN, said((1, 1, forged))))
    assert shown == {1: {"user": {"id": "ann", "name": "Ann", "color": "#abcdef"}, "cursor": 1}}


@pytest.mark.parametrize("color", ["red;background:url(//x)", 5, None, ["#ffffff"]])
def test_a_colour_that_is_none_becomes_the_members(color: object) -> None:
    shown = states(Cursors().take("a", ANN, said((1, 1, {"user": {"color": color}}))))
    assert shown[1]["user"]["color"] == "#111111"


def test_a_list_of_integers_is_taken() -> None:
    assert states(Cursors().take("a", ANN, list(said((1, 1, {"x": 1})))))[1]["x"] == 1


def test_the_json_dialect_stays_json() -> None:
    relayed = Cursors().take("a", ANN, b'{"5": {"x": 1}}')
    assert relayed is not None
    assert relayed.startswith(b"{")
    assert states(relayed)[5]["user"]["id"] == "ann"


def test_an_echo_of_anothers_state_is_passed_over() -> None:
    cursors = Cursors()
    relayed = cursors.take("a", ANN, said((1, 4, {"x": 1})))
    assert cursors.take("b", BEN, relayed) is None
    mixed = cursors.take("b", BEN, said((1, 4, {"x": 9}), (2, 1, {"x": 2})))
    assert set(states(mixed)) == {2}


def test_somebody_elses_client_id_is_refused() -> None:
    cursors = Cursors()
    cursors.take("a", ANN, said((1, 4, {"x": 1})))
    assert code(cursors, "b", BEN, said((1, 5, {"x": 9}))) == "client_id_taken"
    assert code(cursors, "b", BEN, said((2, 1, {}), (1, 5, {"x": 9}))) == "client_id_taken"
    assert states(cursors.of("a"))[1]["x"] == 1
    assert cursors.of("b") is None


def test_nobody_can_take_anothers_cursor_away() -> None:
    cursors = Cursors()
    cursors.take("a", ANN, said((1, 4, {"x": 1})))
    assert cursors.take("b", BEN, said((1, 4, None))) is None
    assert cursors.take("b", BEN, said((1, 5, None))) is None
    assert states(cursors.of("a"))[1]["x"] == 1


def test_an_echo_that_comes_after_its_session_left_makes_no_ghost() -> None:
    cursors = Cursors()
    relayed = cursors.take("a", ANN, said((1, 4, {"x": 1})))
    removal = cursors.remove("a")
    assert cursors.take("b", BEN, relayed) is None
    assert cursors.take("b", BEN, removal) is None
    assert cursors.of("b") is None


def test_the_same_person_takes_a_client_id_over_on_a_new_connection() -> None:
    cursors = Cursors()
    cursors.take("old", ANN, said((1, 4, {"x": 1})))
    assert cursors.take("new", ANN, said((1, 4, {"x": 1}))) is None
    assert states(cursors.take("new", ANN, said((1, 5, {"x": 2}))))[1]["x"] == 2
    assert cursors.remove("old") is None
    assert states(cursors.remove("new")) == {1: None}


def test_a_client_may_take_back_its_own_cursor() -> None:
    cursors = Cursors()
    cursors.take("a", ANN, said((1, 1, {"x": 1})))
    assert states(cursors.take("a", ANN, said((1, 2, None)))) == {1: None}
    assert cursors.of("a") is None
    assert cursors.remove("a") is None


def test_what_is_taken_back_is_newer_than_what_was_shown() -> None:
    cursors = Cursors()
    cursors.take("a", ANN, said((1, 41, {"x": 1})))
    removal = cursors.remove("a")
    assert removal is not None
    assert decode_awareness(removal)[0].clock >= 41


def test_one_session_speaks_for_a_few_clients_only() -> None:
    cursors = Cursors()
    most = [(number, 1, {"x": 1}) for number in range(MAX_CLIENTS)]
    cursors.take("a", ANN, said(*most))
    assert code(cursors, "a", ANN, said((99, 1, {"x": 1}))) == "too_many_clients"
    cursors.take("a", ANN, said((0, 2, None)))
    cursors.take("a", ANN, said((99, 1, {"x": 1})))


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (None, "bad_update"),
        ("text", "bad_update"),
        ({"a": 1}, "bad_update"),
        (b"", "bad_update"),
        (b"\xff\xff\xff\xff\x0f", "bad_update"),
        (b"\x01\x01\x01\x05nope", "bad_update"),
        (b'{"1": [1]}', "bad_update"),
        (b'{"-1": {}}', "bad_update"),
        (b'{"1": {}', "bad_update"),
        ([1, 2, 300], "bad_update"),
        ([True], "bad_update"),
        (b"\x00" * (MAX_AWARENESS_BYTES + 1), "too_large"),
        ([0] * (MAX_AWARENESS_BYTES + 1), "too_large"),
    ],
)
def test_what_is_no_awareness_is_refused(update: object, expected: str) -> None:
    assert code(Cursors(), "a", ANN, update) == expected
