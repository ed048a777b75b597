"""Carries out installs for the Runtime kind: several at once, each failing for itself, and remembers what failed.

Invariants: a version that cannot be had keeps no other from being installed; what failed is tried again
later and later, what cannot work not before the package or the spec changes. A restart forgets failures,
which costs one more try.
"""

import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram

from api.errors import Conflict
from api.ports import Storage
from api.types.runtime import Runtime, RuntimeReason
from controller.engine.backoff import Backoff, BackoffPolicy
from controller.engine.errors import TerminalError, TransientError
from controller.engine.log import keys
from controller.engine.recorder import Recorder
from controller.runtime import install
from controller.runtime.install import Host, Package
from controller.runtime.progress import InstallProgress, NoLongerWanted

_log = logging.getLogger(__name__)

MOST_AT_ONCE = 3
"""Versions of one runtime that are installed at once."""

_RETRY = BackoffPolicy(base_seconds=1.0, ceiling_seconds=60.0)


class RuntimeMetrics:
    """Counters of installs; every series starts at 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them with `registry`."""
        self.installs = Counter(
            "runwright_runtime_installs", "Installs of a version, by outcome.", ["outcome"], registry=registry
        )
        self.seconds = Histogram(
            "runwright_runtime_install_seconds", "Duration of an install that worked.", registry=registry,
            buckets=(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
        )  # fmt: skip
        for outcome in ("installed", "failed"):
            self.installs.labels(outcome)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a version could not be installed, and in how long it is worth another try; None is never."""

    reason: str
    message: str
    retry_seconds: float | None


@dataclass(frozen=True, slots=True)
class _Kept:
    """A failure, what was tried, of which generation of the spec, and when to try again."""

    package: Package
    generation: int
    reason: str
    message: str
    retry_at: float | None


class Installer:
    """Installs packages on one host."""

    def __init__(self, host: Host, storage: Storage, recorder: Recorder, metrics: RuntimeMetrics) -> None:
        """Install on `host`, and tell of it in statuses, events, the log and metrics."""
        self._host = host
        self._storage = storage
        self._recorder = recorder
        self._metrics = metrics
        self._lock = threading.Lock()
        self._failed: dict[tuple[str, str], _Kept] = {}
        self._backoff = Backoff(_RETRY)

    def failure(self, package: Package, generation: int) -> Failure | None:
        """Return why `package` is not to be tried now, or None if it is."""
        with self._lock:
            kept = self._failed.get(_key(package))
        if kept is None or (kept.package, kept.generation) != (package, generation):
            return None
        if kept.retry_at is None:
            return Failure(kept.reason, kept.message, None)
        left = kept.retry_at - self._host.clock.monotonic()
        return Failure(kept.reason, kept.message, left) if left > 0 else None

    def install_all(self, runtime: Runtime, packages: tuple[Package, ...]) -> None:
        """Install `packages`, some at once; return when each is installed, or its failure kept.

        Raises:
            Conflict: the status was written meanwhile, so what the caller holds of it is old.
        """
        progress = InstallProgress(self._storage, runtime.key, self._host.clock)
        _each(packages, lambda package: self._install(runtime, package, progress))
        if progress.has_told:
            raise Conflict(f"the status of {runtime.key} was written while it was installed: read it again")

    def _install(self, runtime: Runtime, package: Package, progress: InstallProgress) -> None:
        started = self._host.clock.monotonic()
        note = progress.of(package)
        try:
            if _key(package) not in self._failed:  # A retry is told when there is something to tell of it.
                note(0, None)
            done = install.install(package, self._host, progress=note)
        except NoLongerWanted:
            return  # The next pass looks at what is wanted now.
        except (TransientError, TerminalError) as error:
            self._keep_failure(runtime, package, error)
        except OSError as error:
            why = f"cannot install {package.entry.name}@{package.entry.version}: {error}"
            self._keep_failure(runtime, package, TransientError(RuntimeReason.CANNOT_WRITE, why))
        else:
            self._forget_failure(package)
            self._metrics.installs.labels("installed").inc()
            self._metrics.seconds.observe(self._host.clock.monotonic() - started)
            self._recorder.record(runtime, "Normal", "Installed", f"{done.message}, from registry/{package.registry}")
        finally:
            progress.ended(package)

    def _keep_failure(self, runtime: Runtime, package: Package, error: TransientError | TerminalError) -> None:
        with self._lock:
            waits = isinstance(error, TransientError)
            retry_seconds = self._backoff.failed(_key(package)) if waits else None
            retry_at = None if retry_seconds is None else self._host.clock.monotonic() + retry_seconds
            generation = runtime.meta.generation
            self._failed[_key(package)] = _Kept(package, generation, error.reason, error.message, retry_at)
        self._metrics.installs.labels("failed").inc()
        self._recorder.record(runtime, "Warning", error.reason, error.message)
        _log.warning(
            "install failed",
            extra=keys(version=package.entry.version, reason=error.reason, error=error, retry_seconds=retry_seconds),
        )

    def _forget_failure(self, package: Package) -> None:
        with self._lock:
            self._failed.pop(_key(package), None)
            self._backoff.forget(_key(package))


def _key(package: Package) -> tuple[str, str]:
    return package.entry.name, package.entry.version


def _each(packages: tuple[Package, ...], work: Callable[[Package], None]) -> None:
    """Do `work` for all packages, `MOST_AT_ONCE` at a time; raise what one of them raised when all are done.

    The threads are daemons, so that a download that takes an hour does not hold up the end of the process.
    """
    waiting, errors = deque(packages), list[BaseException]()

    def work_off() -> None:
        while waiting and not errors:
            try:
                work(waiting.popleft())
            except IndexError:
                return  # Another thread took the last one.
            except BaseException as error:  # noqa: BLE001 -- raised below, in the thread that asked.
                errors.append(error)

    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(work_off,), name="install", daemon=True)
        for _ in range(min(len(packages), MOST_AT_ONCE) - 1)
    ]
    for thread in threads:
        thread.start()
    work_off()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
