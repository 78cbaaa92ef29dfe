"""A process that is killed while its editors type."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from heliograph.store import Database
from tests.integration.documents.stage import stage

# Prints each acknowledged paragraph; it is killed while it does.
WRITER = """
import asyncio, itertools, sys
from heliograph.store import Database
from tests.integration.documents.stage import stage

async def main():
    async with Database(sys.argv[1]) as database, stage(database, quiet=0.05, rows=10) as one:
        ann = await one.user("ann")
        note_id = await one.note(ann)
        print(note_id, flush=True)
        clients = [await one.client(ann) for _ in range(3)]
        for client in clients:
            await client.join(f"note:{note_id}")

        async def type_on(name, client):
            for number in itertools.count():
                await client.write(f"note:{note_id}", f"{name}.{number}")
                print(f"{name}.{number}", flush=True)

        await asyncio.gather(*(type_on(name, each) for name, each in zip("abc", clients)))

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_every_update_acknowledged_before_a_kill_is_there_afterwards(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    writer = await asyncio.create_subprocess_exec(
        sys.executable, script, database_url, stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join(each for each in sys.path if each)},
    )  # fmt: skip
    try:
        assert writer.stdout is not None
        note_id = (await writer.stdout.readline()).decode().strip()
        acknowledged = [(await writer.stdout.readline()).decode().strip() for _ in range(30)]
        writer.kill()
        rest, _ = await writer.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            writer.kill()
        await writer.wait()
    acknowledged += rest.decode().split("\n")[:-1]
    async with stage(database) as one:
        found = await one.notes._read(note_id)
        paragraphs = found["data"]["content"]["md"].split("\n\n")
        assert len(acknowledged) >= 30
        assert set(acknowledged) <= set(paragraphs)
        # At most one more of each writer: stored, and its acknowledgement lost.
        assert len(paragraphs) <= len(acknowledged) + 3
        for name in "abc":
            mine = [each for each in paragraphs if each.startswith(name)]
            assert mine == [f"{name}.{number}" for number in range(len(mine))]
