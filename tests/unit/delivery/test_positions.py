"""Positions and the offsets that carry them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.delivery.broker import Position
from heliograph.delivery.positions import BadOffset, Positions, base36


@given(st.integers(0, 2**63))
def test_base36_reads_back(number: int) -> None:
    assert int(base36(number), 36) == number


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=6),
    st.lists(st.integers(0, 5), max_size=60),
)
def test_an_offset_rewinds_to_the_moment_it_was_given(
    baselines: list[int], deliveries: list[int]
) -> None:
    positions = Positions()
    rooms = [f"room{index}" for index in range(len(baselines))]
    for room, seq in zip(rooms, baselines, strict=True):
        positions.enter(room, Position("e", seq))
    moments: list[tuple[str | None, dict[str, int]]] = [
        (None, dict(zip(rooms, baselines, strict=True)))
    ]
    for chosen in deliveries:
        room = rooms[chosen % len(rooms)]
        given_out = positions.advance(room, positions.position(room).seq + 1)
        moments.append((given_out, {name: positions.position(name).seq for name in rooms}))
    for offset, then in reversed(moments):
        positions.rewind(offset)
        assert {name: positions.position(name).seq for name in rooms} == then


def test_an_offset_is_short_when_one_room_is_busy() -> None:
    positions = Positions()
    for index in range(100):
        positions.enter(f"room{index}", Position("e", 10_000))
    assert positions.advance("room7", 10_001) == "1~7.7pt"


def test_a_room_entered_after_the_offset_starts_at_its_baseline() -> None:
    positions = Positions()
    positions.enter("a", Position("e", 5))
    offset = positions.advance("a", 6)
    positions.enter("b", Position("e", 100))
    positions.advance("b", 101)
    positions.rewind(offset)
    assert positions.position("b").seq == 100


def test_a_left_room_is_not_mistaken_for_a_later_one() -> None:
    positions = Positions()
    positions.enter("a", Position("e", 5))
    offset = positions.advance("a", 9)
    positions.leave("a")
    positions.enter("b", Position("e", 1))
    positions.rewind(offset)
    assert positions.position("b").seq == 1


@pytest.mark.parametrize("offset", ["x", "2~0.1", "1~a", "1~0.-", "1~!.1", "1~0." + "z" * 70_000])
def test_what_is_not_an_offset_is_refused(offset: str) -> None:
    positions = Positions()
    positions.enter("a", Position("e", 0))
    with pytest.raises(BadOffset):
        positions.rewind(offset)
