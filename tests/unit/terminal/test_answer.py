"""Every token once: live, caught up, replaced, settled."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from heliograph.terminal.answer import Answer, Ending


async def test_deltas_are_handed_out_in_order() -> None:
    answer = Answer("m")
    pieces = [answer.append(1, "one "), answer.append(2, "two")]
    assert [piece.text for piece in pieces] == ["one ", "two"]
    assert answer.content == "one two"


async def test_a_delta_that_was_seen_gives_nothing() -> None:
    answer = Answer("m")
    answer.append(1, "one")
    assert answer.append(1, "one").text == ""
    assert answer.content == "one"


async def test_catching_up_gives_only_what_is_new() -> None:
    answer = Answer("m")
    answer.append(1, "one ")
    piece = answer.catch_up({"seq": 3, "from_seq": 1, "content": "two three"})
    assert piece is not None
    assert piece.text == "two three"
    assert answer.append(3, "three").text == ""
    assert answer.append(4, "!").text == "!"


async def test_a_whole_content_gives_only_what_follows_the_shown() -> None:
    answer = Answer("m")
    answer.append(1, "one ")
    piece = answer.catch_up({"seq": 2, "from_seq": 0, "content": "one two"})
    assert piece is not None
    assert (piece.text, piece.rewritten) == ("two", False)


async def test_catching_up_after_a_gap_asks_for_the_whole() -> None:
    answer = Answer("m")
    answer.append(1, "one ")
    assert answer.catch_up({"seq": 9, "from_seq": 5, "content": "nine"}) is None
    assert answer.content == "one "


async def test_catching_up_with_what_is_older_changes_nothing() -> None:
    answer = Answer("m")
    answer.append(1, "one ")
    answer.append(2, "two")
    piece = answer.catch_up({"seq": 1, "from_seq": 0, "content": "one "})
    assert piece is not None
    assert (piece.text, answer.content, answer.seq) == ("", "one two", 2)


async def test_a_replacement_that_begins_differently_is_said_to_be_rewritten() -> None:
    answer = Answer("m")
    answer.append(1, "wrong")
    piece = answer.replace(2, "right")
    assert (piece.text, piece.rewritten) == ("right", True)


async def test_a_store_that_has_less_than_was_shown_repeats_nothing() -> None:
    answer = Answer("m")
    answer.append(1, "one two")
    assert answer.settle("one ").text == ""


async def test_only_the_first_ending_counts() -> None:
    answer = Answer("m")
    answer.end(Ending.STOPPED)
    answer.end(Ending.FAILED, "late")
    assert (answer.ended.result(), answer.reason) == (Ending.STOPPED, "")


@given(
    tokens=st.lists(st.text(min_size=1, max_size=4), max_size=30),
    breaks=st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.integers(0, 5)), max_size=5),
)
def test_breaks_at_any_point_neither_repeat_nor_lose_tokens(
    tokens: list[str], breaks: list[tuple[int, bool, int]]
) -> None:
    async def feed() -> str:
        answer, shown = Answer("m"), ""
        resume = {position: (whole, missed) for position, whole, missed in breaks}
        live = 0
        while live < len(tokens):
            if live in resume:
                whole, missed = resume.pop(live)
                until = min(live + missed, len(tokens))
                since = 0 if whole else answer.seq
                content = "".join(tokens[since:until])
                piece = answer.catch_up({"seq": until, "from_seq": since, "content": content})
                assert piece is not None
                assert not piece.rewritten
                shown += piece.text
                live = max(0, live - 2)  # some that were seen come again
                continue
            shown += answer.append(live + 1, tokens[live]).text
            live += 1
        return shown

    assert asyncio.run(feed()) == "".join(tokens)
