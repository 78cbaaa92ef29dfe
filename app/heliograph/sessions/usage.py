"""Which models are in use: one lease per session and model, no read-modify-write."""

from __future__ import annotations

import time

LEASE_SECONDS = 3.0
"""Clients renew about once a second (CONTRACT section 3)."""

_MAX_MODELS_PER_SESSION = 32


class UsagePool:
    """Leases of models by this replica's sessions."""

    def __init__(self) -> None:
        self._ends: dict[str, dict[str, float]] = {}  # sid -> model -> end of the lease

    def renew(self, sid: str, model: str) -> bool:
        """The session uses the model now; whether it did not before."""
        now = time.monotonic()
        mine = self._ends.setdefault(sid, {})
        new = mine.get(model, 0.0) <= now
        if len(mine) >= _MAX_MODELS_PER_SESSION and model not in mine:
            del mine[min(mine, key=mine.__getitem__)]
        mine[model] = now + LEASE_SECONDS
        return new

    def drop(self, sid: str) -> None:
        """The session ended."""
        self._ends.pop(sid, None)

    def models(self) -> dict[str, float]:
        """The models in use, with the seconds for which they still are; leases that ran out
        are removed on the way."""
        now = time.monotonic()
        left: dict[str, float] = {}
        for sid, leases in list(self._ends.items()):
            live = {model: end for model, end in leases.items() if end > now}
            if live:
                self._ends[sid] = live
            else:
                del self._ends[sid]
            for model, end in live.items():
                left[model] = max(left.get(model, 0.0), end - now)
        return left
