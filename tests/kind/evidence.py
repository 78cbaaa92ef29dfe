"""What a failure leaves behind: the cluster's view of it, in a folder to be read later."""

from __future__ import annotations

import time
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


async def _said(cluster: Cluster, *command: str) -> str:
    try:
        return await cluster.kubectl(*command, timeout=30)
    except CommandFailed as error:
        return f"{error}\n"  # what can be had is kept, whatever else cannot
