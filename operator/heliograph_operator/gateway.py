"""The resource ``RealtimeGateway``: what a person asks of the operator.

The API server refuses what does not fit by the resource's schema and its rules. The same bounds
are here too, for a resource that came in under an older schema: then ``problem`` says in a
sentence what to change, and nothing of its settings is put in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from heliograph_operator.pods import section, text
from heliograph_operator.reports import NAMES

GROUP = "heliograph.dev"
VERSION = "v1alpha1"
PLURAL = "realtimegateways"
KIND = "RealtimeGateway"

PING_INTERVAL = 25.0
PING_TIMEOUT = 20.0
LOCK_TIMEOUT = 60.0
"""What replicas do when nothing was said: the defaults of their environment."""


class _Part(BaseModel):
    # Fields of a newer schema are no reason to do nothing.
    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True, strict=True
    )


class Wishes(_Part):
    """``spec.settings``; ``None``: what the environment says."""

    ping_interval_seconds: float | None = Field(None, ge=1, le=300)
    ping_timeout_seconds: float | None = Field(None, ge=1, le=300)
    lock_timeout_seconds: float | None = Field(None, ge=1, le=600)
    caller_timeout_seconds: float | None = Field(None, ge=1, le=600)
    heartbeat_interval_seconds: float | None = Field(None, ge=5, le=600)
    log_level: Literal["debug", "info", "warning", "error"] | None = None

    def values(self) -> dict[str, float | str]:
        """Those that are said, by the replicas' names for them."""
        said = self.model_dump(by_alias=True, exclude_none=True)
        return {NAMES[name]: value for name, value in said.items()}


class Bounds(_Part):
    """Between which a setting may be moved, s."""

    min: float = Field(ge=1, le=600)
    max: float = Field(ge=1, le=600)

    @model_validator(mode="after")
    def _in_order(self) -> Bounds:
        if self.min > self.max:
            raise ValueError(f"min ({self.min:g}) must not be above max ({self.max:g})")
        return self

    def clamp(self, value: float) -> float:
        """The nearest value within."""
        return min(self.max, max(self.min, value))


class Autotune(_Part):
    """``spec.autotune``."""

    enabled: bool = False
    ping_interval_seconds: Bounds = Bounds(min=10, max=60)
    ping_timeout_seconds: Bounds = Bounds(min=10, max=60)
    lock_timeout_seconds: Bounds = Bounds(min=30, max=300)


class Draining(_Part):
    """``spec.drain``."""

    cordoned_nodes: bool = True


class Rebalance(_Part):
    """``spec.rebalance``."""

    enabled: bool = False
    margin_percent: float = Field(20, ge=1, le=1000)
    per_second: float = Field(5, gt=0, le=10_000)


class Spec(_Part):
    """``spec``, but for ``deployment``."""

    proxy_timeout_seconds: float = Field(3600, ge=2)
    settings: Wishes = Wishes()
    autotune: Autotune = Autotune()
    drain: Draining = Draining()
    rebalance: Rebalance = Rebalance()

    @model_validator(mode="after")
    def _within_the_proxys_patience(self) -> Spec:
        said = self.settings
        interval = said.ping_interval_seconds or PING_INTERVAL
        timeout = said.ping_timeout_seconds or PING_TIMEOUT
        if interval + timeout >= self.proxy_timeout_seconds:
            raise ValueError(
                f"pingIntervalSeconds ({interval:g}) plus pingTimeoutSeconds ({timeout:g}) must "
                f"be below proxyTimeoutSeconds ({self.proxy_timeout_seconds:g}), or the proxy "
                "cuts connections that are alive"
            )
        most = self.autotune.ping_interval_seconds.max + self.autotune.ping_timeout_seconds.max
        if self.autotune.enabled and most >= self.proxy_timeout_seconds:
            raise ValueError(
                f"the largest ping interval plus timeout of autotune ({most:g}) must be below "
                f"proxyTimeoutSeconds ({self.proxy_timeout_seconds:g})"
            )
        return self


@dataclass(frozen=True)
class Gateway:
    """One ``RealtimeGateway``.

    :ivar problem: why its spec cannot be followed, or empty.
    :ivar status: what its status says now.
    """

    name: str
    deployment: str
    uid: str = ""
    generation: int = 0
    created: str = ""
    leaving: bool = False
    spec: Spec = field(default_factory=Spec)
    problem: str = ""
    status: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, body: object) -> Gateway | None:
        """Read one; ``None`` when it has no name."""
        metadata, said = section(body, "metadata"), section(body, "spec")
        name, generation = metadata.get("name"), metadata.get("generation")
        if not isinstance(name, str):
            return None
        spec, problem = Spec(), ""
        try:
            spec = Spec.model_validate(said)
        except ValidationError as error:
            problem = _sentence(error)
        return cls(
            name=name,
            deployment=text(said.get("deployment")),
            uid=text(metadata.get("uid")),
            generation=generation if isinstance(generation, int) else 0,
            created=text(metadata.get("creationTimestamp")),
            leaving=bool(metadata.get("deletionTimestamp")),
            spec=spec,
            problem=problem,
            status=section(body, "status"),
        )


def _sentence(error: ValidationError) -> str:
    fault = error.errors()[0]
    where = ".".join(("spec", *(str(part) for part in fault["loc"])))
    said = fault["msg"].removeprefix("Value error, ")
    got = "" if isinstance(fault["input"], Mapping) else f" (got {fault['input']!r:.100})"
    return f"{where}: {said}{got}"


def choose(gateways: list[Gateway], deployment: str) -> tuple[Gateway | None, list[Gateway]]:
    """The one that counts for a Deployment, which is the oldest, and the others."""
    mine = sorted(
        (one for one in gateways if one.deployment == deployment and not one.leaving),
        key=lambda one: (one.created, one.name),
    )
    return (mine[0], mine[1:]) if mine else (None, [])
