"""The runner: ``make kind-test`` calls it. Exits with 1 when anything was more than allowed."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from dataclasses import asdict

from rich.console import Console
from rich.markdown import Markdown

from tests.kind.plan import FAULTS
from tests.kind.progress import Progress
from tests.kind.redis import MODES
from tests.kind.report import markdown
from tests.kind.run import CHECKS, Options, Run


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kind",
        description="Install the chart on the cluster of kubectl, break it under load, and hold "
        "what clients saw against limits. Reports go to build/kind/.",
    )
    defaults = Options()
    parser.add_argument("--redis", choices=[*MODES, "all"], default="all", help="default: all")
    parser.add_argument(
        "--only", metavar="NAME,…", default="",
        help="of: " + ", ".join([*CHECKS, *(fault.name for fault in FAULTS)]),
    )  # fmt: skip
    parser.add_argument("--url", default=defaults.url, help="of the ingress (%(default)s)")
    parser.add_argument("--people", type=int, default=defaults.people, help="(%(default)s)")
    parser.add_argument("--words", type=int, default=defaults.words,
                        help="of an answer (%(default)s)")  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="do not uninstall in the end")
    parser.add_argument("--reuse", action="store_true", help="use what --keep left installed")
    return parser.parse_args()


async def _main(arguments: argparse.Namespace) -> int:
    only = [name for name in arguments.only.split(",") if name]
    unknown = set(only) - {*CHECKS, *(fault.name for fault in FAULTS)}
    if unknown:
        print(f"--only: there is no {', '.join(unknown)}; see --help", file=sys.stderr)
        return 2
    options = Options(
        url=arguments.url, people=arguments.people, words=arguments.words, only=only,
        keep=arguments.keep, reuse=arguments.reuse,
    )  # fmt: skip
    progress = Progress()
    complaints = []
    for mode in MODES if arguments.redis == "all" else [arguments.redis]:
        progress.title(f"Redis: {mode}")
        report = await Run(mode, options, progress).whole()
        Console().print(Markdown(markdown(asdict(report))))
        progress.title(f"{mode}: {report.seconds:.0f} s")
        complaints += [f"{mode}: {said}" for said in report.complaints]
    for said in complaints:
        print(said, file=sys.stderr)
    return 1 if complaints else 0


def main() -> None:
    """Read the arguments and run; Ctrl-C and SIGTERM uninstall first."""

    async def run() -> int:
        task = asyncio.ensure_future(_main(_arguments()))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return 130

    sys.exit(asyncio.run(run()))


if __name__ == "__main__":
    main()
