"""kubectl, helm and docker as coroutines, and waiting for conditions.

Every command has a deadline; what fails raises :class:`CommandFailed` with the command and what it
said. Conditions are waited for, never time: :meth:`Cluster.until`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

# Each look is a process of kubectl, a third of a second of CPU that clients and servers share.
_PAUSE = 1.5


class CommandFailed(Exception):
    """A program ended with another status than 0, or not in time."""


class NotInTime(Exception):
    """A condition did not come."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as it was when asked for; ``born`` sorts by age."""

    name: str
    born: str
    node: str
    ready: bool
    ending: bool
    address: str


@dataclass(frozen=True)
class Cluster:
    """One release in one namespace of the cluster that kubectl talks to.

    :ivar fullname: of the chart's objects.
    """

    namespace: str = "heliograph"
    release: str = "heliograph"

    @property
    def fullname(self) -> str:
        """What the names of the release's objects begin with."""
        return self.release if "heliograph" in self.release else f"{self.release}-heliograph"

    async def kubectl(
        self, *args: str, timeout: float = 60, given: str = "", errors: bool = False
    ) -> str:
        """Run kubectl in the namespace; what it wrote.

        :param given: its standard input. :param errors: what it wrote to standard error, instead.
        :raises CommandFailed: it failed.
        """
        return await run(
            "kubectl", "--namespace", self.namespace, *args,
            timeout=timeout, given=given, errors=errors,
        )  # fmt: skip

    async def helm(self, *args: str, timeout: float = 300, errors: bool = False) -> str:
        """Run helm in the namespace; what it wrote, as for :meth:`kubectl`."""
        return await run(
            "helm", "--namespace", self.namespace, *args, timeout=timeout, errors=errors
        )

    async def read(self, *args: str) -> Any:
        """``kubectl get … --output json``."""
        return json.loads(await self.kubectl("get", *args, "--output", "json"))

    async def pods(self, component: str) -> list[Pod]:
        """The release's pods of a component that have not ended, oldest first."""
        labels = f"app.kubernetes.io/instance={self.release}"
        labels += f",app.kubernetes.io/component={component}"
        found = (await self.read("pods", "--selector", labels))["items"]
        over = ("Succeeded", "Failed")
        pods = [_pod(each) for each in found if each["status"].get("phase") not in over]
        return sorted(pods, key=lambda pod: (pod.born, pod.name))

    async def delete_pods(self, *names: str, kill: bool = False) -> None:
        """Delete pods without waiting for their end; ``kill``: without a last word to them."""
        how = ("--grace-period=0", "--force") if kill else ()
        # With --force it warns on standard error; what counts is the status.
        await self.kubectl("delete", "pod", *names, "--wait=false", *how)

    async def gone(self, *pods: str, timeout: float = 90) -> None:
        """Wait until these pods are no more."""
        if pods:
            names = [f"pod/{name}" for name in pods]
            await self.kubectl("wait", "--for=delete", *names, f"--timeout={timeout:g}s",
                               timeout=timeout + 10)  # fmt: skip

    async def rolled_out(self, *workloads: str, timeout: float = 180) -> None:
        """Wait until each of ``deployment/NAME``, ``statefulset/NAME`` is as it should be."""
        for workload in workloads:
            await self.kubectl("rollout", "status", workload, f"--timeout={timeout:g}s",
                               timeout=timeout + 10)  # fmt: skip

    async def until(
        self, condition: Callable[[], Awaitable[bool]], what: str, timeout: float
    ) -> None:
        """Wait for a condition; a command that fails counts as "not yet".

        :raises NotInTime: it did not come, with the last failure.
        """
        deadline = time.monotonic() + timeout
        failure = ""
        while True:
            try:
                if await condition():
                    return
                failure = ""
            except CommandFailed as error:
                failure = f" ({error})"
            if time.monotonic() > deadline:
                raise NotInTime(f"Not within {timeout:g} s: {what}{failure}")
            await asyncio.sleep(_PAUSE)


def _pod(found: dict[str, Any]) -> Pod:
    conditions = found["status"].get("conditions", [])
    return Pod(
        name=found["metadata"]["name"],
        born=found["metadata"]["creationTimestamp"],
        node=found["spec"].get("nodeName", ""),
        ready=any(each["type"] == "Ready" and each["status"] == "True" for each in conditions),
        ending="deletionTimestamp" in found["metadata"],
        address=found["status"].get("podIP", ""),
    )


async def run(
    program: str, *args: str, timeout: float = 60, given: str = "", errors: bool = False
) -> str:
    """Run a program; its standard output, or with ``errors`` its standard error.

    :raises CommandFailed: it is missing, failed, or was not done in time.
    """
    if shutil.which(program) is None:
        raise CommandFailed(f"{program} is not in PATH: install it, or run `make kind-up`")
    process = await asyncio.create_subprocess_exec(
        program, *args,
        stdin=asyncio.subprocess.PIPE if given else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    line = " ".join((program, *args))
    try:
        async with asyncio.timeout(timeout):
            out, err = await process.communicate(given.encode() if given else None)
    except TimeoutError:
        raise CommandFailed(f"`{line}` was not done after {timeout:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        said = (err or out).decode(errors="replace").strip()
        raise CommandFailed(f"`{line}` ended with {process.returncode}: {said[-2000:]}")
    return (err if errors else out).decode(errors="replace")
