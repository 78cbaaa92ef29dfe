"""Runs a Node suite against the servers and answers what it asks for.

The suite reads one line of JSON per message from its standard input and writes such lines:
``{check, rows, ok, error, ms}`` for a result, ``{control, do, …}`` for a request. Anything
else that it writes is kept for the report of a failure.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

HERE = Path(__file__).parent
_MAX_LINE = 16 * 1024 * 1024


class Answers(Protocol):
    """The side of the servers, see ``world.py``."""

    async def control(self, request: dict[str, Any]) -> Any:
        """Do what ``request["do"]`` names."""


@dataclass(frozen=True, slots=True)
class Result:
    """One check."""

    check: str
    rows: list[str]
    ok: bool
    error: str | None
    ms: int


@dataclass(slots=True, repr=False)
class Run:
    """What a suite said."""

    results: list[Result] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    status: int | None = None

    def of_row(self, row: str) -> list[Result]:
        """The checks of a row."""
        return [result for result in self.results if row in result.rows]

    def failures(self, results: list[Result] | None = None) -> str:
        """What failed, to be read by a person; empty when nothing did."""
        chosen = self.results if results is None else results
        failed = [f"{each.check}\n{each.error}" for each in chosen if not each.ok]
        return "\n\n".join([*failed, *(self.other if failed else [])])


async def run_node(world: Answers, script: str, setup: dict[str, Any], *, timeout: float) -> Run:
    """Run ``node script`` to its end.

    :raises AssertionError: it could not be run, failed, or did not end in time.
    """
    node = shutil.which("node")
    assert node is not None, "the client tests need Node 20 or newer"
    assert (HERE / "node_modules").is_dir(), "run `npm ci` in tests/clients (make test does)"
    process = await asyncio.create_subprocess_exec(
        node,
        script,
        cwd=HERE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_MAX_LINE,
    )
    run = Run()
    try:
        async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
            _tell(process, {"setup": setup})
            group.create_task(_collect(process, run))
            async for line in _lines(process.stdout):
                message = _parse(line)
                if "control" in message:
                    group.create_task(_answer(world, process, message))
                elif "check" in message:
                    run.results.append(Result(**message))
                else:
                    run.other.append(line)
            run.status = await process.wait()
    except TimeoutError:
        raise AssertionError(
            f"{script} was not done after {timeout:g} s; {len(run.results)} checks were\n"
            + "\n".join(run.other)
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert run.status == 0, f"{script} ended with {run.status}\n" + "\n".join(run.other)
    return run


async def _lines(stream: asyncio.StreamReader | None) -> Any:
    assert stream is not None
    while line := await stream.readline():
        yield line.decode(errors="replace").rstrip("\n")


async def _collect(process: asyncio.subprocess.Process, run: Run) -> None:
    async for line in _lines(process.stderr):
        run.other.append(line)


def _parse(line: str) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _tell(process: asyncio.subprocess.Process, message: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")


async def _answer(
    world: Answers, process: asyncio.subprocess.Process, request: dict[str, Any]
) -> None:
    number = request["control"]
    try:
        result = await world.control(request)
    except Exception as error:  # the suite's check fails with it
        _tell(process, {"control": number, "error": f"{type(error).__name__}: {error}"})
    else:
        _tell(process, {"control": number, "result": result})
