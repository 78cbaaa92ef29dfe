"""A private PostgreSQL server for the test run: real, on a free port, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from tests.support.processes import free_port, temporary_folder, watched


def find_binaries() -> Path | None:
    """The folder of ``initdb`` and ``postgres``, newest version first."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0,
        reverse=True,
    )
    on_path = shutil.which("postgres")
    candidates = [*versions, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((path for path in candidates if (path / "initdb").exists()), None)


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server; yields ``postgresql+asyncpg://…`` without a database name.

    PostgreSQL refuses to run as root, so root runs it as the ``postgres`` user that the
    distribution's package makes.
    """
    binaries = find_binaries()
    if binaries is None:
        raise RuntimeError("PostgreSQL is missing: apt-get install postgresql")
    with temporary_folder("pg") as folder:
        as_user: dict[str, object] = {}
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            as_user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        port = free_port()
        data = folder / "data"
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "test", "-A", "trust", "-E", "UTF8",
             "--no-sync", "--locale=C"],
            check=True, capture_output=True, cwd=folder, **as_user,  # type: ignore[call-overload]
        )  # fmt: skip
        options = (
            f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off "
            "-c full_page_writes=off -c max_connections=400"
        )
        control = [binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
        subprocess.run(
            [*control, "-o", options, "start"],
            check=True, capture_output=True, cwd=folder, **as_user,  # type: ignore[call-overload]
        )  # fmt: skip
        with watched(int((data / "postmaster.pid").read_text().split()[0])):
            try:
                yield f"postgresql+asyncpg://test@127.0.0.1:{port}"
            finally:
                subprocess.run(
                    [*control, "-m", "immediate", "stop"],
                    check=True, capture_output=True, cwd=folder, **as_user,  # type: ignore[call-overload]
                )  # fmt: skip


async def create_database(url: str, name: str, template: str = "template") -> str:
    """Make a database as a copy of another; its URL.

    :param url: of the server, without a database.
    """
    connection = await asyncpg.connect(url.replace("+asyncpg", "") + "/postgres")
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    finally:
        await connection.close()
    return f"{url}/{name}"
