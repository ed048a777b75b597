"""Looks at installed versions in the background: whether they hold what was installed, whether they work.

What is found is kept in the versions' records; here is only what is going on, and what became of each request.
Invariant: one look at a time on this host, whoever asks; a request that was cut off by a restart is begun again.
"""

import logging
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from api.runtime_requests import IS_VERIFIED, IS_WORKING, Request
from api.types.runtime import Runtime
from controller.engine.errors import TerminalError, TransientError
from controller.engine.log import keys
from controller.runtime.health_of_runtimes import HealthOfRuntimes
from controller.runtime.install import Host
from controller.runtime.limiter import Limiter, Stopped
from controller.runtime.observed import Inspected
from controller.runtime.plan import Inspect
from controller.runtime.verify import verify

_log = logging.getLogger(__name__)

VERIFY_SECONDS = 86_400.0
VERIFY_BYTES_PER_SECOND = 20e6
ASKED_BYTES_PER_SECOND = 500e6
"""How fast a version is read that somebody waits for."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often each version is verified, 0 is never, and how fast it is read."""

    verify_seconds: float = VERIFY_SECONDS
    bytes_per_second: float = VERIFY_BYTES_PER_SECOND


DEFAULT_PACE = Pace()


class Inspections:
    """Looks at the versions on one host."""

    def __init__(self, host: Host, health: HealthOfRuntimes, pace: Pace) -> None:
        """Verify as fast as `pace` says, test by `health`."""
        self._host = host
        self._health = health
        self._slowly = Limiter(pace.bytes_per_second, host.clock)
        self._quickly = Limiter(ASKED_BYTES_PER_SECOND, host.clock)
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Runtime, Inspect]] = deque()
        self._now: tuple[Runtime, Inspect] | None = None
        self._done: dict[str, dict[Request, Inspected]] = {}
        self._stopped = False

    def start(self, runtime: Runtime, step: Inspect) -> None:
        """Look as `step` says, as soon as what is being looked at is done; nothing if that is on its way already."""
        with self._lock:
            if self._stopped or _mark(step) in self._marks(runtime.meta.name):
                return
            self._waiting.append((runtime, step))
            if self._now is None:
                self._now = self._waiting.popleft()
                threading.Thread(target=self._work, name="inspect", daemon=True).start()

    def going(self, name: str) -> tuple[str, ...]:
        """Return what is being looked at, or is about to be, of the runtime `name`."""
        with self._lock:
            return self._marks(name)

    def done(self, name: str) -> Mapping[Request, Inspected]:
        """Return what became of the last request of each kind."""
        with self._lock:
            return dict(self._done.get(name, {}))

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

    def _work(self) -> None:
        while True:
            assert self._now is not None
            runtime, step = self._now
            told = self._look(runtime, step)
            with self._lock:
                if step.value:
                    results = self._done.setdefault(runtime.meta.name, {})
                    results[step.request] = Inspected(step.value, told)
                self._now = self._waiting.popleft() if self._waiting else None
                if self._now is None:
                    return

    def _look(self, runtime: Runtime, step: Inspect) -> str:
        bad, good = [], []
        for version in step.versions:
            try:
                wrong = self._look_at(runtime, step, version)
            except Stopped:
                return "runwrightd ended meanwhile"
            except (TransientError, TerminalError) as error:
                wrong = error.message
            except OSError as error:
                wrong = f"cannot look at it: {error}"
            if wrong:
                bad.append(f"{version}: {wrong}")
                _log.warning("inspection failed", extra=keys(version=version, reason=step.request.value, error=wrong))
            else:
                good.append(version)
        well = IS_VERIFIED if step.request is Request.VERIFY else IS_WORKING
        return "; ".join([*bad, *([f"{', '.join(good)} {well}"] if good else [])]) or "there is no version to look at"

    def _look_at(self, runtime: Runtime, step: Inspect, version: str) -> str:
        if step.request is Request.TEST:
            return self._health.test(runtime, version)
        limiter = self._quickly if step.value else self._slowly
        return verify(self._host.root, runtime.meta.name, version, limiter, self._host.clock).drift


def _mark(step: Inspect) -> str:
    return f"{step.request}={step.value}"
