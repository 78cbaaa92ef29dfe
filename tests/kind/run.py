"""One run with one form of Redis: install, check, break it under load, compare, uninstall."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.clients.crowd import Crowd
from tests.clients.history import failings, prepare
from tests.kind import accounts, checks, sticky
from tests.kind.cluster import ROOT, Cluster, CommandFailed, NotInTime
from tests.kind.evidence import collect, followed
from tests.kind.faults import Scene, app_whole, redis_whole
from tests.kind.measure import exceeded, measure
from tests.kind.plan import FAULTS, Fault
from tests.kind.progress import Progress, Step
from tests.kind.redis import Mode, Redis
from tests.kind.report import BUILD, Check, Phase, Report

CHART = ROOT / "charts" / "heliograph"
SETTLE_SECONDS = 30.0
_FOLLOWING_SECONDS = 2.0  # of CPU, until `kubectl logs` follow; not a part of what is measured
CHECKS = ("restricted", "helm-test", "sticky", "sticky-draining", "helm-test-without-redis")
_FAILURES = (AssertionError, CommandFailed, NotInTime, TimeoutError, RuntimeError, httpx.HTTPError)


@dataclass(frozen=True)
class Options:
    """What a run is made of.

    :ivar only: names of faults and checks; empty: all. :ivar keep: leave the release installed.
    :ivar words: of an answer. :ivar posters: every how many-th client posts to the channel.
    """

    url: str = "http://127.0.0.1:18080"
    people: int = 200
    words: int = 60
    posters: int = 10
    only: Sequence[str] = ()
    keep: bool = False
    reuse: bool = False


class Run:
    """A run; :meth:`whole` is all of it."""

    def __init__(self, mode: Mode, options: Options, progress: Progress) -> None:
        self.report = Report(mode, options.people)
        self._mode = mode
        self._options = options
        self._progress = progress
        self._cluster = Cluster()
        self._redis = Redis(self._cluster, mode)
        self._values = CHART / "ci" / f"kind-{mode}.yaml"
        self._warnings = ""

    async def whole(self) -> Report:
        """Run everything; the report, also when things went wrong."""
        began = time.monotonic()
        try:
            if await self._check("install", self._install):
                await self._installed()
        finally:
            if not self._options.keep:
                await self._check("uninstall", self._uninstall)
            self.report.seconds = time.monotonic() - began
            self.report.write()  # also when it is cancelled
        return self.report

    async def _installed(self) -> None:
        cluster = self._cluster
        await self._check("restricted", lambda: checks.admitted(cluster, self._warnings))
        await self._check("helm-test", lambda: checks.helm_test(cluster))
        faults = [fault for fault in FAULTS if self._wanted(fault.name)]
        if faults or self._wanted("sticky") or self._wanted("sticky-draining"):
            scene: dict[str, Any] = {}
            await self._check("accounts", lambda: self._accounts(scene))
            if scene:
                await self._sticky(scene["people"][0]["token"])
                if faults:
                    await self._under_load(scene, faults)
        await self._check(
            "helm-test-without-redis",
            lambda: checks.helm_test_without_redis(cluster, self._redis),
        )

    def _wanted(self, name: str) -> bool:
        return not self._options.only or name in self._options.only

    async def _check(self, name: str, body: Callable[[], Awaitable[str]]) -> bool:
        """Run a check, unless it is not wanted; whether all is well."""
        if name in CHECKS and not self._wanted(name):
            return True
        with self._progress.step(name) as step:
            began = time.monotonic()
            try:
                said, well = await body(), True
            except _FAILURES as error:
                said, well = await self._explained(error), False
            step.end(said, well)
        self.report.checks.append(Check(name, well, said, time.monotonic() - began))
        return well

    async def _explained(self, error: Exception) -> str:
        where = await collect(self._cluster, BUILD / self._mode)
        return f"{str(error) or type(error).__name__} (see {where.relative_to(ROOT)})"

    # -- the release -------------------------------------------------------------------

    async def _install(self) -> str:
        if self._options.reuse:
            return "what is installed is used"
        await self._remove()
        await checks.make_namespace(self._cluster)
        install = ("install", self._cluster.release, str(CHART), "--values", str(self._values))
        began = time.monotonic()
        self._warnings = await self._cluster.helm(
            *install, "--wait", "--timeout", "240s", errors=True
        )
        await app_whole(self._cluster)
        await redis_whole(self._cluster, self._redis)
        await self._reachable()
        return f"ready after {time.monotonic() - began:.0f} s"

    async def _reachable(self) -> None:
        async with httpx.AsyncClient(base_url=self._options.url, timeout=5) as http:
            deadline = time.monotonic() + SETTLE_SECONDS
            while True:
                try:
                    answer = await http.get("/ready")
                    said = f"{answer.status_code} {answer.text[:200]}"
                    if answer.status_code == 200:
                        return
                except httpx.HTTPError as error:
                    said = f"{type(error).__name__}: {error}"
                if time.monotonic() > deadline:
                    raise NotInTime(f"{self._options.url}/ready does not answer 200: {said}")
                await asyncio.sleep(0.3)

    async def _upgrade(self, setting: str) -> None:
        await self._cluster.helm(
            "upgrade", self._cluster.release, str(CHART), "--values", str(self._values),
            "--set-json", setting,
        )  # fmt: skip

    async def _uninstall(self) -> str:
        await self._remove()
        return "nothing is left"

    async def _remove(self) -> None:
        with contextlib.suppress(CommandFailed):  # there may be none, or half of one
            await self._cluster.helm("uninstall", self._cluster.release, "--wait")
        delete = ("delete", "namespace", self._cluster.namespace, "--ignore-not-found")
        await self._cluster.kubectl(*delete, timeout=120)

    # -- under load --------------------------------------------------------------------

    async def _accounts(self, scene: dict[str, Any]) -> str:
        options = self._options
        made = await accounts.make(self._cluster, options.people, f"{secrets.token_hex(3)}-")
        scene |= await prepare(options.url, made, words=options.words, posters=options.posters)
        return f"{options.people} people with a chat each, and a channel of all"

    async def _sticky(self, token: str) -> None:
        url = self._options.url
        await self._check("sticky", lambda: sticky.polling_only(url, token))
        await self._check("sticky-draining", lambda: sticky.draining_cookie(self._cluster, url))

    async def _under_load(self, scene: dict[str, Any], faults: Sequence[Fault]) -> None:
        crowd = Crowd({**scene, "pauseMs": 20})
        self.report.ways = dict(Counter(crowd.ways.values()))
        await crowd.start()
        try:
            await self._check("connect", lambda: self._connected(crowd))
            for fault in faults:
                await self._phase(crowd, fault)
            await self._check("history", lambda: self._compared(crowd))
        finally:
            await crowd.kill()

    async def _connected(self, crowd: Crowd) -> str:
        await crowd.settled(90)
        return f"{len(crowd.ways)} clients stream"

    async def _compared(self, crowd: Crowd) -> str:
        history = await crowd.stop(150)
        self.report.history = history
        wrong = failings(history)
        wrong.pop("gaps", None)  # these were read; phases say where they may be
        assert not wrong, f"Lost, doubled or out of order: {wrong}"
        return (
            f"{history['answers']:.0f} answers and {history['posts']:.0f} posts are the server's, "
            f"for each of {self._options.people} clients"
        )

    async def _phase(self, crowd: Crowd, fault: Fault) -> None:
        with self._progress.step(fault.name) as step, _watched(crowd, step):
            scene = Scene(
                self._cluster, self._redis, self._options.url, self._upgrade, crowd.settled
            )
            began = time.time() * 1000
            failed = []
            try:
                async with followed(self._cluster, BUILD / self._mode / fault.name):
                    await asyncio.sleep(_FOLLOWING_SECONDS)
                    began = time.time() * 1000
                    await fault.inject(scene)
                    await crowd.settled(SETTLE_SECONDS)
                silent_since = None
            except _FAILURES as error:
                failed.append(await self._explained(error))
                silent_since = crowd.status["silentSince"]
            facts = crowd.facts
            lines = [json.dumps(fact) for fact in facts if fact["at"] >= began]
            (BUILD / self._mode / fault.name / "facts.jsonl").write_text("\n".join(lines))
            measured = measure(
                facts, crowd.ways, began, time.time() * 1000, silent_since=silent_since
            )
            complaints = failed + exceeded(measured, fault.limits(scene))
            phase = Phase(fault.name, fault.title, fault.allowed, measured, complaints, scene.notes)
            self.report.phases.append(phase)
            step.end(self._progress.figures(phase), not complaints)
        if failed:
            with contextlib.suppress(*_FAILURES):  # told above; the next one says when it goes on
                await crowd.settled(60)


@contextlib.contextmanager
def _watched(crowd: Crowd, step: Step) -> Iterator[None]:
    """Show how the clients are while something else is done."""

    async def watch() -> None:
        while True:
            step.clients(crowd.status)
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
