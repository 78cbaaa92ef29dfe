"""Two sequences laid side by side, for changing one into the other with few changes.

Purpose: `align` says which entries stay, which turn into which, which go and which come;
`text_edits` does the same for the words of a text. Both are what a merge into an open document
needs: what stays is not touched, so that others' changes to it survive.

Limits: at most quadratic in what differs, and bounded: above `MAX_PAIRS` combinations entries are
paired in order instead of by likeness, and a text is replaced between its first and last
difference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher

MAX_PAIRS = 400
MAX_WORD_PAIRS = 1_000_000
_LONGEST_COMPARED = 2_000
_UNLIKE = 0.3
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")

Step = tuple[int | None, int | None]
"""(index in the old sequence, index in the new one): both is a pair, one alone goes or comes."""


def align(
    old: Sequence[str], new: Sequence[str], may_pair: Callable[[int, int], bool]
) -> list[Step]:
    """How `old` becomes `new`, in order; entries that are equal are paired with each other.

    Args:
        old: a text for each old entry; equal texts mean nothing has to be done.
        new: the same for the new entries.
        may_pair: whether the old entry may be turned into the new one.
    """
    # Equal ends first: among repeated entries a longest match may lie anywhere.
    start, tail = common_ends(old, new)
    ends = len(old) - tail, len(new) - tail
    matcher = SequenceMatcher(None, old[start : ends[0]], new[start : ends[1]], autojunk=False)
    steps: list[Step] = [(n, n) for n in range(start)]
    for kind, *bounds in matcher.get_opcodes():
        i1, i2, j1, j2 = (start + bound for bound in bounds)
        if kind == "equal":
            steps += [(i1 + n, j1 + n) for n in range(i2 - i1)]
        elif (i2 - i1) * (j2 - j1) <= MAX_PAIRS:
            steps += _best_pairs(old, new, range(i1, i2), range(j1, j2), may_pair)
        else:
            steps += _pairs_in_order(range(i1, i2), range(j1, j2), may_pair)
    return steps + [(ends[0] + n, ends[1] + n) for n in range(tail)]


def common_ends(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """How many entries are the same at the beginning, and of the rest at the end."""
    shortest = min(len(old), len(new))
    start = 0
    while start < shortest and old[start] == new[start]:
        start += 1
    tail = 0
    while tail < shortest - start and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return start, tail


def _best_pairs(
    old: Sequence[str],
    new: Sequence[str],
    olds: range,
    news: range,
    may_pair: Callable[[int, int], bool],
) -> Iterator[Step]:
    # best[i][j]: the greatest likeness that the entries from i and j on can reach.
    best = [[0.0] * (len(news) + 1) for _ in range(len(olds) + 1)]
    gain = {(i, j): _likeness(old[i], new[j]) for i in olds for j in news if may_pair(i, j)}
    for a in reversed(range(len(olds))):
        for b in reversed(range(len(news))):
            paired = gain.get((olds[a], news[b]), -1.0) + best[a + 1][b + 1]
            best[a][b] = max(paired, best[a + 1][b], best[a][b + 1])
    a = b = 0
    while a < len(olds) and b < len(news):
        pair = (olds[a], news[b])
        if pair in gain and best[a][b] == gain[pair] + best[a + 1][b + 1]:
            yield pair
            a, b = a + 1, b + 1
        elif best[a][b] == best[a + 1][b]:
            yield olds[a], None
            a += 1
        else:
            yield None, news[b]
            b += 1
    yield from ((i, None) for i in olds[a:])
    yield from ((None, j) for j in news[b:])


def _pairs_in_order(
    olds: range, news: range, may_pair: Callable[[int, int], bool]
) -> Iterator[Step]:
    for i, j in zip(olds, news, strict=False):
        if may_pair(i, j):
            yield i, j
        else:
            yield i, None
            yield None, j
    yield from ((i, None) for i in olds[len(news) :])
    yield from ((None, j) for j in news[len(olds) :])


def _likeness(one: str, other: str) -> float:
    # A little more than nothing, so that the same kind is paired when there is nothing better.
    matcher = SequenceMatcher(None, one[:_LONGEST_COMPARED], other[:_LONGEST_COMPARED], False)
    return 0.05 + matcher.quick_ratio()


def text_edits(old: str, new: str) -> list[tuple[int, int, int, int]]:
    """Which parts of a text to replace, by words: `(i1, i2, j1, j2)`, `old[i1:i2]` by `new[j1:j2]`.

    In order; indices count characters.
    """
    start, tail = common_ends(old, new)
    i1, i2, j1, j2 = start, len(old) - tail, start, len(new) - tail
    if i1 == i2 and j1 == j2:
        return []
    words, others = _WORDS.findall(old[i1:i2]), _WORDS.findall(new[j1:j2])
    whole = [(i1, i2, j1, j2)]
    if not words or not others or len(words) * len(others) > MAX_WORD_PAIRS:
        return whole
    matcher = SequenceMatcher(None, words, others, autojunk=False)
    if matcher.ratio() < _UNLIKE:
        return whole
    at, to = _offsets(words, i1), _offsets(others, j1)
    return [
        (at[a1], at[a2], to[b1], to[b2])
        for kind, a1, a2, b1, b2 in matcher.get_opcodes()
        if kind != "equal"
    ]


def _offsets(words: Sequence[str], start: int) -> list[int]:
    offsets = [start]
    for word in words:
        offsets.append(offsets[-1] + len(word))
    return offsets
