"""Where operator and replicas meet in Redis. The operator has the same names."""

from __future__ import annotations

from dataclasses import dataclass

from heliograph.backplane import Backplane

_TAG = "control"


@dataclass(frozen=True)
class Keys:
    """The keys share a hash tag, so that one command may read several.

    :ivar settings: JSON ``{revision, values}``: settings other than the environment's.
    :ivar drains: hash, pod to JSON ``{why, at}``: which pods are to have no clients.
    :ivar commands: channel of JSON ``{action, …}``: hints to look at the keys, and ``shed``.
    """

    settings: str
    drains: str
    commands: str
    _report: str

    @classmethod
    def of(cls, backplane: Backplane) -> Keys:
        """Those of a prefix."""
        return cls(
            settings=backplane.key("control", _TAG, "settings"),
            drains=backplane.key("control", _TAG, "drains"),
            commands=f"{backplane.prefix}:control:commands",
            _report=backplane.key("control", _TAG, "report"),
        )

    def report(self, replica_id: str) -> str:
        """The key of a replica's report, which it writes anew before it expires."""
        return f"{self._report}:{replica_id}"
