"""Carries out installs for the Runtime kind: several at once, each failing for itself, and remembers what failed.

Invariants: a version that cannot be had keeps no other from being installed; what failed is tried again
later and later, what cannot work not before the source or the spec changes. A restart forgets failures,
which costs one more try.
"""

import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry, Counter, Histogram

from api.errors import ApiError, Conflict
from api.ports import Storage
from api.types.runtime import Runtime, RuntimeReason
from controller.engine.backoff import Backoff, BackoffPolicy
from controller.engine.errors import TerminalError, TransientError
from controller.engine.log import keys
from controller.engine.recorder import Recorder
from controller.runtime.health.of_runtimes import HealthOfRuntimes
from controller.runtime.progress import InstallProgress, NoLongerWanted
from controller.runtime.trees import install, tree
from controller.runtime.trees.install import Host, Installed
from controller.runtime.trees.source import TreeSource

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

    source: TreeSource
    generation: int
    reason: str
    message: str
    retry_at: float | None


class Installer:
    """Installs versions on one host."""

    def __init__(
        self, host: Host, storage: Storage, recorder: Recorder, metrics: RuntimeMetrics, health: HealthOfRuntimes
    ) -> None:
        """Install on `host` what is found in good `health`, and tell of it in statuses, events, the log and metrics."""
        self._host = host
        self._health = health
        self._storage = storage
        self._recorder = recorder
        self._metrics = metrics
        self._lock = threading.Lock()
        self._failed: dict[tuple[str, str], _Kept] = {}
        self._backoff = Backoff(_RETRY)

    def failure(self, source: TreeSource, generation: int) -> Failure | None:
        """Return why `source` is not to be tried now, or None if it is."""
        with self._lock:
            kept = self._failed.get(_key(source))
        if kept is None or (kept.source, kept.generation) != (source, generation):
            return None
        if kept.retry_at is None:
            return Failure(kept.reason, kept.message, None)
        left = kept.retry_at - self._host.clock.monotonic()
        return Failure(kept.reason, kept.message, left) if left > 0 else None

    def install_all(self, runtime: Runtime, sources: tuple[TreeSource, ...], *, over: bool = False) -> None:
        """Install what `sources` make, some at once; return when each is installed, or its failure kept.

        With `over`, put them over what is there and serves meanwhile, and tell of it when it is done only.

        Raises:
            Conflict: the status was written meanwhile, so what the caller holds of it is old.
        """
        progress = InstallProgress(self._storage, runtime.key, self._host.clock, quiet=over)
        _each(sources, lambda source: self._install(runtime, source, progress, over=over))
        if progress.has_told:
            raise Conflict(f"the status of {runtime.key} was written while it was installed: read it again")

    def _install(self, runtime: Runtime, source: TreeSource, progress: InstallProgress, *, over: bool) -> None:
        started = self._host.clock.monotonic()
        note = progress.of(source)
        try:
            if _key(source) not in self._failed:  # A retry is told when there is something to tell of it.
                note(0, None)
            host = replace(self._host, health=self._health.of(runtime))
            done = install.install(source, host, progress=note, force=over, in_use=over)
        except NoLongerWanted:
            return  # The next pass looks at what is wanted now.
        except (TransientError, TerminalError) as error:
            self._keep_failure(runtime, source, error)
        except OSError as error:
            why = f"cannot install {source.name}@{source.version}: {error}"
            self._keep_failure(runtime, source, TransientError(RuntimeReason.CANNOT_WRITE, why))
        except ApiError:
            raise  # The status could not be written: the next pass sees to it.
        except Exception as error:  # noqa: BLE001 - What is in a tree is somebody else's words: none of them may end the installer.
            _log.exception("install failed by a bug", extra=keys(version=source.version))
            why = f"cannot install {source.name}@{source.version}: {type(error).__name__}: {error}: see the log"
            self._keep_failure(runtime, source, TransientError(RuntimeReason.INTERNAL_ERROR, why))
        else:
            self._forget_failure(source)
            self._metrics.installs.labels("installed").inc()
            self._metrics.seconds.observe(self._host.clock.monotonic() - started)
            self._recorder.record(runtime, "Normal", "Installed", _told(source, done, over=over))
            if warnings := tree.inspect(done.path).warnings:
                said = f"{source.name}@{source.version}: {'; '.join(warnings)}"
                self._recorder.record(runtime, "Warning", "ManifestWarning", said)
        finally:
            progress.ended(source)

    def _keep_failure(self, runtime: Runtime, source: TreeSource, error: TransientError | TerminalError) -> None:
        with self._lock:
            waits = isinstance(error, TransientError)
            retry_seconds = self._backoff.failed(_key(source)) if waits else None
            retry_at = None if retry_seconds is None else self._host.clock.monotonic() + retry_seconds
            generation = runtime.meta.generation
            self._failed[_key(source)] = _Kept(source, generation, error.reason, error.message, retry_at)
        self._metrics.installs.labels("failed").inc()
        self._recorder.record(runtime, "Warning", error.reason, error.message)
        _log.warning(
            "install failed",
            extra=keys(version=source.version, reason=error.reason, error=error, retry_seconds=retry_seconds),
        )

    def _forget_failure(self, source: TreeSource) -> None:
        with self._lock:
            self._failed.pop(_key(source), None)
            self._backoff.forget(_key(source))


def _told(source: TreeSource, done: Installed, *, over: bool) -> str:
    where = f"from registry/{source.offered_by}" if source.offered_by else f"made by its {source.kind}"
    return f"{done.message}{' again' if over else ''}, {where}"


def _key(source: TreeSource) -> tuple[str, str]:
    return source.name, source.version


def _each(sources: tuple[TreeSource, ...], work: Callable[[TreeSource], None]) -> None:
    """Do `work` for all sources, `MOST_AT_ONCE` at a time; raise what one of them raised when all are done.

    The threads are daemons, so that a download that takes an hour does not hold up the end of the process.
    """
    waiting, errors = deque(sources), list[BaseException]()

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
        for _ in range(min(len(sources), MOST_AT_ONCE) - 1)
    ]
    for thread in threads:
        thread.start()
    work_off()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
