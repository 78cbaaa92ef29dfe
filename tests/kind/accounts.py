"""Accounts without passwords: hashing two hundred of those takes minutes of two cores.

What makes them runs in a pod of the app, with the app's own code and settings.
"""

from __future__ import annotations

import json
from typing import Any

from tests.kind.cluster import Cluster

_PROGRAM = """
import asyncio, json, sys, uuid
from heliograph.identity import Users, create_verifier
from heliograph.settings import load_settings
from heliograph.store import Database

async def main(prefix, count):
    settings = load_settings()
    _, issuer = create_verifier(settings)
    made = []
    async with Database(settings.sqlalchemy_url) as database:
        for number in range(count):
            name = f"{prefix}{number}"
            user = await Users(database).add(
                str(uuid.uuid4()), name, f"{name}@example.org", None, "user"
            )
            made.append({"id": user.id, "token": issuer.issue(user.id, 6 * 3600)})
    print(json.dumps(made))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def make(cluster: Cluster, count: int, prefix: str) -> list[dict[str, Any]]:
    """``{id, token}`` of each; ``prefix`` makes their names new."""
    inside = ("exec", f"deployment/{cluster.fullname}", "--container", "app", "--stdin", "--")
    program = ("python", "-", prefix, str(count))
    told = await cluster.kubectl(*inside, *program, given=_PROGRAM, timeout=90)
    made: list[dict[str, Any]] = json.loads(told)
    return made
