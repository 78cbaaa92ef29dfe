"""What a failure leaves behind: the cluster's view of it, in a folder to be read later."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.kind.cluster import Cluster, CommandFailed

_SHOWN = {
    "pods": ("get", "pods", "--output", "wide"),
    "nodes": ("get", "nodes", "--output", "wide"),
    "objects": ("get", "deployments,statefulsets,services,endpointslices,ingresses,jobs,pvc,pdb"),
    "events": ("get", "events", "--sort-by=.lastTimestamp"),
    "described": ("describe", "pods"),
}


async def collect(cluster: Cluster, folder: Path) -> Path:
    """Write objects, events, and the logs of all pods (of their former containers, too)."""
    where = folder / time.strftime("%H%M%S")
    where.mkdir(parents=True, exist_ok=True)
    for name, command in _SHOWN.items():
        (where / f"{name}.txt").write_text(await _said(cluster, *command))
    try:
        found = (await cluster.read("pods"))["items"]
    except CommandFailed as error:
        (where / "pods.txt").write_text(str(error))
        return where
    for pod in found:
        name = pod["metadata"]["name"]
        logs = ("logs", name, "--prefix", "--timestamps", "--tail=3000")
        (where / f"{name}.log").write_text(await _said(cluster, *logs, "--all-containers"))
        for state in pod["status"].get("containerStatuses", []):
            if state.get("restartCount"):
                former = (*logs, "--container", state["name"], "--previous")
                file = where / f"{name}.{state['name']}.former.log"
                file.write_text(await _said(cluster, *former))
    return where


@contextlib.asynccontextmanager
async def followed(cluster: Cluster, folder: Path) -> AsyncIterator[None]:
    """Write the logs of the app's pods while they run: those of a pod that ends go with it."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    following = []
    for pod in await cluster.pods("app"):
        with (folder / f"{pod.name}.log").open("wb") as file:
            following.append(
                await asyncio.create_subprocess_exec(
                    "kubectl", "--namespace", cluster.namespace, "logs", pod.name,
                    "--container=app", "--follow", "--timestamps", "--tail=100",
                    stdout=file, stderr=file,
                )
            )  # fmt: skip
    try:
        yield
    finally:
        for process in following:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await process.wait()


async def _said(cluster: Cluster, *command: str) -> str:
    try:
        return await cluster.kubectl(*command, timeout=30)
    except CommandFailed as error:
        return f"{error}\n"  # what can be had is kept, whatever else cannot
