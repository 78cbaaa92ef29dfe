"""Progress for people: a line for each step, and how the clients are while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.status import Status

from tests.kind.report import Phase, pause, span


class Step:
    """What runs now."""

    def __init__(self, console: Console, status: Status, name: str) -> None:
        self._console = console
        self._status = status
        self._name = name
        self._began = time.monotonic()

    def clients(self, status: dict[str, Any]) -> None:
        """Show how the clients are; ``status`` is a crowd's."""
        self._status.update(
            f"{self._name}  {time.monotonic() - self._began:.0f} s  "
            f"{status['connected']} of {status['people']} connected, "
            f"{status['events']:.0f} events, {status['wrong']} wrong"
        )

    def end(self, said: str, well: bool) -> None:
        """Say how it ended; the line stays."""
        sign = "[green]✓[/]" if well else "[red]✗[/]"
        took = f"{time.monotonic() - self._began:5.1f} s"
        self._console.print(f"{sign} {self._name:24} {took}  ", end="")
        self._console.print(said, markup=False, highlight=False, style=None if well else "red")


class Progress:
    """Writes to standard error, so that what a run prints in the end can be kept alone."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True)

    def title(self, text: str) -> None:
        """Begin a part."""
        self._console.print(f"\n[bold]{text}[/]")

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Something that takes its time."""
        with self._console.status(name) as status:
            yield Step(self._console, status, name)

    @staticmethod
    def figures(phase: Phase) -> str:
        """A phase in a line."""
        measured = phase.measured
        told = (
            f"without connection {span(measured.outage)}, without events "
            f"{pause(measured.silence)}; {measured.lost} broken, {measured.recovered} recovered"
        )
        notes = f" [{', '.join(phase.notes)}]" if phase.notes else ""
        return told + notes + "".join(f"\n    {said}" for said in phase.complaints)
