"""What the operator tells people as Kubernetes Events: every reason, in one table.

``docs/operator.md`` lists the same; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["Normal", "Warning"]


@dataclass(frozen=True)
class Reason:
    """One kind of Event.

    :ivar about: the kind of object that it is shown at: that pod, or the fleet (its
        RealtimeGateway, or its Deployment when there is none).
    :ivar sentence: with names in braces that are filled in.
    :ivar lasting: it is so for a while, and told again no sooner than in ten minutes.
    """

    type: Kind
    about: Literal["Pod", "Fleet"]
    sentence: str
    lasting: bool = False


REASONS: dict[str, Reason] = {
    "DrainStarted": Reason(
        "Normal",
        "Pod",
        "Draining, because {why}: {tasks} tasks are stopped and {connections} clients moved.",
    ),
    "DrainFinished": Reason(
        "Normal", "Pod", "Drained: no client and no task is left, and it takes no new ones."
    ),
    "DrainUndone": Reason("Normal", "Pod", "The drain is taken back: it takes clients again."),
    "DrainRefused": Reason(
        "Warning",
        "Pod",
        "Not drained, although {why}: no other pod takes clients. It drains as soon as one does.",
        lasting=True,
    ),
    "DrainCutShort": Reason(
        "Warning",
        "Pod",
        "The pod ended before its drain did, with {connections} clients and {tasks} tasks left: "
        "give it more time (terminationGracePeriodSeconds), or let it close more in a second.",
    ),
    "SettingsChanged": Reason("Normal", "Fleet", "New settings for all replicas: {changes}."),
    "SettingsApplied": Reason("Normal", "Fleet", "All {replicas} replicas have the new settings."),
    "SettingsRefused": Reason(
        "Warning", "Fleet", "{pod} does not take the settings: {why}.", lasting=True
    ),
    "SettingsReturned": Reason(
        "Normal",
        "Fleet",
        "No RealtimeGateway is left: replicas go back to the settings of their environment.",
    ),
    "SpecInvalid": Reason("Warning", "Fleet", "The spec cannot be followed: {why}.", lasting=True),
    "Superseded": Reason(
        "Warning",
        "Fleet",
        "{other} is older and names the same Deployment: this one has no effect.",
        lasting=True,
    ),
    "TunedUp": Reason("Normal", "Fleet", "More patience, because {why}: {changes}."),
    "TunedDown": Reason("Normal", "Fleet", "Less patience, because {why}: {changes}."),
    "Rebalancing": Reason(
        "Normal", "Fleet", "Moving clients to pods that have fewer: {moves}.", lasting=True
    ),
    "RedisUnavailable": Reason(
        "Warning",
        "Fleet",
        "Redis is not reached; replicas keep what was ordered last: {why}",
        lasting=True,
    ),
    "RedisBack": Reason("Normal", "Fleet", "Redis is reached again."),
    "PodsSilent": Reason(
        "Warning",
        "Fleet",
        "Ready, but not heard of in Redis: {pods}. Do they use this Redis?",
        lasting=True,
    ),
}


@dataclass(frozen=True)
class Happening:
    """One Event to tell.

    :ivar pod: its name, when it is about a pod. :ivar gateway: its name, when it is about another
        than the one that counts.
    """

    reason: str
    message: str
    pod: str = ""
    gateway: str = ""

    @property
    def type(self) -> Kind:
        """``Normal`` or ``Warning``."""
        return REASONS[self.reason].type


def happening(reason: str, /, *, at: str = "", gateway: str = "", **facts: object) -> Happening:
    """One of the table, with its sentence filled in.

    :param at: the pod that it is about.
    """
    return Happening(reason, REASONS[reason].sentence.format(**facts), at, gateway)
