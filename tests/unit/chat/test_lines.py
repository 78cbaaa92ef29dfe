"""Lines of a page's model, put together again however the page cut them."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from heliograph.chat.lines import LineJoiner
from heliograph.chat.models import Chunk, UpstreamError

texts = st.lists(st.text(st.sampled_from('ab "{}[]\\:,dat\n'), max_size=12), max_size=6)
cuts = st.lists(st.integers(0, 400), max_size=12)


@settings(deadline=None)
@given(texts, cuts, st.booleans())
@example([], [15], True)  # ": comment", "data", ": [DONE]"
def test_any_cut_gives_the_same_chunks(words: list[str], at: list[int], page: bool) -> None:
    chunks = [{"choices": [{"delta": {"content": word}}]} for word in words]
    lines = [f"data: {json.dumps(chunk)}" for chunk in chunks]
    text = "\n\n".join([": comment", *lines, "data: [DONE]"]) + "\n\n"
    places = sorted({min(place, len(text)) for place in at} | {0, len(text)})
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    if page:  # Open WebUI's page splits what it reads and drops the line ends
        pieces = [line for piece in pieces for line in piece.split("\n") if line]
    joiner = LineJoiner()
    found: list[Chunk | None] = []
    for piece in pieces:
        found += joiner.feed(piece)
    joiner.check_end()
    assert found == [*chunks, None]


@pytest.mark.parametrize(
    "pieces",
    [
        ["hello"],
        ["data: {broken\n"],
        ["data: [1]"],
        ["data: {", 'data: {"whole": 1}'],
        ['data: {"a": 1\n'],
    ],
)
def test_what_is_no_chunk_is_refused(pieces: list[str]) -> None:
    joiner = LineJoiner()
    for piece in pieces[:-1]:
        joiner.feed(piece)
    with pytest.raises(UpstreamError, match="not"):
        joiner.feed(pieces[-1])


def test_a_line_that_ends_half_is_noticed() -> None:
    joiner = LineJoiner()
    joiner.feed('data: {"a"')
    with pytest.raises(UpstreamError, match="not whole"):
        joiner.check_end()
