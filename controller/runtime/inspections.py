"""Looks at installed versions in the background: whether they hold what was installed, whether they work.

What is found is kept in the versions' records; here is only what is going on, what became of each request, and which
versions could not be looked at. Somebody who waits comes first: a look that nobody waits for is put off for theirs.
Invariants: one look at a time on this host, whoever asks; a request that was cut off by a restart is begun again;
whatever goes wrong with a look is told, and ends that look and no other.
"""

import logging
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from api.runtime_requests import IS_VERIFIED, IS_WORKING, Request
from api.types.runtime import Runtime, RuntimeReason
from controller.engine.errors import TerminalError, TransientError
from controller.engine.log import about, keys
from controller.engine.recorder import EventType, Recorder
from controller.runtime.health.of_runtimes import HealthOfRuntimes
from controller.runtime.observed import Inspected
from controller.runtime.plan import Inspect
from controller.runtime.trees.install import Host
from controller.runtime.trees.limiter import Limiter, Stopped
from controller.runtime.trees.verify import verify

_log = logging.getLogger(__name__)

VERIFY_SECONDS = 86_400.0
VERIFY_BYTES_PER_SECOND = 20e6
ASKED_BYTES_PER_SECOND = 500e6
"""How fast a version is read that somebody waits for."""

AGAIN_SECONDS = 600.0
"""How soon a version is looked at again, with nobody asking, that could not be looked at."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often each version is verified, 0 is never, and how fast it is read."""

    verify_seconds: float = VERIFY_SECONDS
    bytes_per_second: float = VERIFY_BYTES_PER_SECOND


DEFAULT_PACE = Pace()


class Inspections:
    """Looks at the versions on one host."""

    def __init__(self, host: Host, health: HealthOfRuntimes, pace: Pace, recorder: Recorder) -> None:
        """Verify as fast as `pace` says, test by `health`; `recorder` tells of drift, which is mended at once."""
        self._recorder = recorder
        self._host = host
        self._health = health
        self._pace = pace
        self._slowly = Limiter(pace.bytes_per_second, host.clock)
        self._quickly = Limiter(ASKED_BYTES_PER_SECOND, host.clock)
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Runtime, Inspect]] = deque()
        self._now: tuple[Runtime, Inspect] | None = None
        self._done: dict[str, dict[Request, Inspected]] = {}
        self._unseen: dict[tuple[str, str], tuple[float, str]] = {}
        self._stopped = False

    def start(self, runtime: Runtime, step: Inspect) -> None:
        """Look as `step` says, as soon as what others wait for is done; nothing if that is on its way already."""
        with self._lock:
            if self._stopped or _mark(step) in self._marks(runtime.meta.name):
                return
            self._waiting.append((runtime, step))
            if self._now is None:
                self._now = self._next()
                threading.Thread(target=self._work, name="inspect", daemon=True).start()
            elif step.value and not self._now[1].value:
                self._slowly.stop()  # It is put off, and goes on with the version that it is at.

    def going(self, name: str) -> tuple[str, ...]:
        """Return what is being looked at, or is about to be, of the runtime `name`."""
        with self._lock:
            return self._marks(name)

    def done(self, name: str) -> Mapping[Request, Inspected]:
        """Return what became of the last request of each kind."""
        with self._lock:
            return dict(self._done.get(name, {}))

    def unseen(self, name: str) -> Mapping[str, str]:
        """Return the versions of `name` that could not be looked at a short while ago, and why."""
        since = self._host.clock.monotonic() - AGAIN_SECONDS
        with self._lock:
            return {v: why for (runtime, v), (at, why) in self._unseen.items() if runtime == name and at > since}

    def stop(self) -> None:
        """End: what is being looked at is given up."""
        with self._lock:
            self._stopped = True
            self._waiting.clear()
        self._slowly.stop()
        self._quickly.stop()

    def _marks(self, name: str) -> tuple[str, ...]:
        everything = [*([self._now] if self._now is not None else []), *self._waiting]
        return tuple(_mark(step) for runtime, step in everything if runtime.meta.name == name)

    def _next(self) -> tuple[Runtime, Inspect] | None:
        """Take what is to be looked at next: what somebody waits for, before what nobody does."""
        for waiting in sorted(self._waiting, key=lambda each: not each[1].value):
            self._waiting.remove(waiting)
            return waiting
        return None

    def _work(self) -> None:
        while True:
            assert self._now is not None
            runtime, step = self._now
            with about(kind=runtime.kind, name=runtime.meta.name):
                told, left = self._look(runtime, step)
            with self._lock:
                if left and not self._stopped:
                    self._slowly = Limiter(self._pace.bytes_per_second, self._host.clock)
                    self._waiting.append((runtime, replace(step, versions=left)))
                elif step.value:
                    results = self._done.setdefault(runtime.meta.name, {})
                    results[step.request] = Inspected(step.value, told)
                self._now = self._next()
                if self._now is None:
                    return

    def _look(self, runtime: Runtime, step: Inspect) -> tuple[str, tuple[str, ...]]:
        """Return what was found, and the versions that are left if it was put off."""
        bad, good = [], []
        for index, version in enumerate(step.versions):
            try:
                wrong, unseen = self._look_at(runtime, step, version), ""
            except Stopped:
                return "runwrightd ended meanwhile", step.versions[index:]
            except (TransientError, TerminalError) as error:
                wrong = unseen = error.message
            except OSError as error:
                wrong = unseen = f"cannot look at it: {error}"
            except Exception as error:  # noqa: BLE001 -- told below; a thread that died of it would look at nothing more.
                _log.exception("inspection broke off", extra=keys(version=version, reason=step.request.value))
                wrong = unseen = f"cannot look at it: {type(error).__name__}: {error}"
            self._note(runtime.meta.name, version, unseen)
            if wrong:
                bad.append(f"{version}: {wrong}")
                _log.warning("inspection failed", extra=keys(version=version, reason=step.request.value, error=wrong))
            else:
                good.append(version)
        well = IS_VERIFIED if step.request is Request.VERIFY else IS_WORKING
        told = "; ".join([*bad, *([f"{', '.join(good)} {well}"] if good else [])])
        return told or "there is no version to look at", ()

    def _note(self, name: str, version: str, unseen: str) -> None:
        with self._lock:
            self._unseen.pop((name, version), None)
            if unseen:
                self._unseen[name, version] = self._host.clock.monotonic(), unseen

    def _look_at(self, runtime: Runtime, step: Inspect, version: str) -> str:
        if step.request is Request.TEST:
            return self._health.test(runtime, version)
        limiter = self._quickly if step.value else self._slowly
        drift = verify(self._host.root, runtime.meta.name, version, limiter, self._host.clock).drift
        if drift:
            said = f"{version} does not hold what was installed: {drift}: it is installed again"
            self._recorder.record(runtime, EventType.WARNING, RuntimeReason.DRIFTED, said)
        return drift


def _mark(step: Inspect) -> str:
    return f"{step.request}={step.value}"
