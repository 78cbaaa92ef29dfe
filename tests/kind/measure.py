"""What clients went through in one phase, out of the facts they told, and whether that is allowed.

A phase is a span of time. A break of a connection, or a silence, belongs to every phase that it
touches, and counts with its whole length: one that began before a phase and goes on in it is not
cut short at the border. What has not ended by the end of the phase counts up to there.

Limits: silences under one second are not told by the clients, and count as one second at most:
figures of silence below that read "< 1 s".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Fact = Mapping[str, Any]
Person = int | str

REFUSED_ONCE = "browser"
UNTOLD = 1.0
"""Silences shorter than this are not told, s."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a phase may do to a client, in seconds.

    :ivar outage: longest time without a connection; 0: no connection may break.
    :ivar silence: longest time without events of an answer that goes on.
    :ivar gaps: whether deltas may be missing that clients then read: Redis may be away for longer
        than a publish waits.
    :ivar refused: more time for clients that are refused once: in a browser a stock client gives
        the cookie of a draining replica back. Its second attempt comes 1 to 3 s after the first.
    :ivar touches: whether connections must break: what nobody was on shows nothing when it dies.
    """

    outage: float
    silence: float
    gaps: bool = False
    refused: float = 0
    touches: bool = False

    def of(self, way: str, limit: float) -> float:
        """A limit for clients that connect in a way."""
        return limit + self.refused if way == REFUSED_ONCE else limit


@dataclass(frozen=True, slots=True)
class Measured:
    """What happened to clients in a phase, in seconds and numbers of clients or breaks.

    :ivar outage: longest time without a connection. :ivar outages: by way of connecting.
    :ivar silence: longest time without events; 0: less than :data:`UNTOLD`.
    :ivar silences: by way of connecting.
    :ivar lost: connections that broke. :ivar recovered: that came back with all they had missed.
    :ivar gaps: times that a delta was missing, and the client read again.
    :ivar wrong: other things lost, doubled or out of order.
    :ivar refusals: attempts to connect that failed, by what was said.
    :ivar reasons: of breaks, as the client named them.
    """

    seconds: float
    outage: float = 0
    silence: float = 0
    outages: dict[str, float] = field(default_factory=dict)
    silences: dict[str, float] = field(default_factory=dict)
    lost: int = 0
    recovered: int = 0
    gaps: int = 0
    wrong: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)


def measure(
    facts: Iterable[Fact],
    ways: Mapping[Person, str],
    since: float,
    until: float,
    *,
    silent_since: float | None = None,
) -> Measured:
    """What the facts say about the phase from ``since`` to ``until`` (ms, as in facts).

    :param ways: how each person connects.
    :param silent_since: the last event of who has been silent for longest, when the phase ended.
    """
    outages: dict[str, float] = {}
    silences: dict[str, float] = {}
    refusals: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    away: dict[Person, float] = {}
    lost = recovered = gaps = wrong = 0

    def note(longest: dict[str, float], person: Person, began: float, ended: float) -> None:
        if ended > since and began < until:
            way = ways[person]
            longest[way] = max(longest.get(way, 0), (ended - began) / 1000)

    for fact in facts:
        person, at = fact["person"], fact["at"]
        within = since <= at < until
        if at >= until and fact["fact"] not in ("back", "silent"):
            continue
        match fact["fact"]:
            case "lost":
                away[person] = at
                lost += within
                reasons[fact["reason"]] += within
            case "back":
                if at < until:
                    away.pop(person, None)
                note(outages, person, fact["since"], min(at, until))
                recovered += within and bool(fact["recovered"])
            case "silent":
                note(silences, person, fact["since"], min(at, until))
            case "refused" | "gave_up":
                refusals[fact["error"]] += within
            case "wrong":
                gaps += within and fact["kind"] == "gaps"
                wrong += within and fact["kind"] != "gaps"
    for person, began in away.items():
        note(outages, person, began, until)
    if silent_since is not None and until - silent_since >= UNTOLD * 1000:
        silences["not over"] = (until - silent_since) / 1000
    return Measured(
        seconds=(until - since) / 1000,
        outage=max(outages.values(), default=0),
        silence=max(silences.values(), default=0),
        outages=outages,
        silences=silences,
        lost=lost,
        recovered=recovered,
        gaps=gaps,
        wrong=wrong,
        refusals=dict(+refusals),
        reasons=dict(+reasons),
    )


def exceeded(measured: Measured, limits: Limits) -> list[str]:
    """What was more than allowed, as sentences; empty when all is well."""
    said = []
    if limits.outage == 0 and measured.lost:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in measured.reasons.items())
        said.append(f"{measured.lost} connections broke ({reasons}), none may")
    elif limits.touches and not measured.lost:
        said.append("no connection broke: no client was on what died, so nothing was tested")
    elif limits.outage:
        said += _longer("connection", measured.outages, limits, limits.outage)
    said += _longer("events", measured.silences, limits, limits.silence)
    if measured.gaps and not limits.gaps:
        said.append(f"{measured.gaps} deltas were missing")
    if measured.wrong:
        said.append(f"{measured.wrong} events lost, doubled or out of order")
    return said


def _longer(what: str, longest: Mapping[str, float], limits: Limits, limit: float) -> list[str]:
    over = {way: took for way, took in longest.items() if took > limits.of(way, limit)}
    if not over:
        return []
    ways = ", ".join(f"{took:.1f} s ({way})" for way, took in over.items())
    return [f"{ways} without {what}, at most {limit:g} s"]
