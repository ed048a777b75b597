"""Where exceptions become outcomes: a worker takes a key, has it reconciled, and decides what is next.

The only place of the engine that catches. Conflict: again at once. TransientError, OSError: the
status says why, and back off. TerminalError: the status says why, and no retry until the spec
changes. Anything else is our bug: a traceback, and back off.
"""

import errno
import itertools
import logging
from collections.abc import Callable
from typing import Any

from api.errors import ApiError, Conflict, NotFound
from api.meta import ObjectKey
from controller.engine.backoff import Backoff
from controller.engine.clock import Clock
from controller.engine.errors import Postponed, TerminalError, TransientError
from controller.engine.log import about, keys
from controller.engine.metrics import ControllerMetrics, Outcome
from controller.engine.reconcile import ReconcileLoop, Result, UnreadableError
from controller.engine.recorder import EventType, Recorder
from controller.engine.workqueue import WorkQueue
from controller.linux.libc import SyscallError

_log = logging.getLogger(__name__)
_PASSES = itertools.count(1)

MOST_CONFLICTS_AT_ONCE = 10
"""So many conflicts in a row are retried at once; after them the key backs off."""

REST_SECONDS = 0.1
"""How long a worker rests after a pass where requests wait for what it would use, the interpreter."""

MOST_OVERDUE_SECONDS = 10.0
"""And for how long at most a key waits on account of that: no worker rests while one has waited longer."""

_HOPELESS = (errno.ENOSYS, errno.EINVAL)  # The kernel does not know the call or the flag: no retry helps.


class Worker:
    """Reconciles keys of one queue. Several threads may run the same worker."""

    def __init__(
        self,
        loop: ReconcileLoop[Any, Any],
        queue: WorkQueue,
        clock: Clock,
        recorder: Recorder,
        metrics: ControllerMetrics,
        backoff: Backoff | None = None,
        gives_way: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take keys from `queue` and have `loop` reconcile them; rest after a pass where `gives_way` says so.

        What is due waits for no longer than `MOST_OVERDUE_SECONDS` on account of that.
        """
        self._gives_way = gives_way
        self._loop = loop
        self._queue = queue
        self._clock = clock
        self._recorder = recorder
        self._metrics = metrics
        self._backoff = backoff or Backoff()
        # What one key is concerned with is touched by the one thread that has the key.
        self._conflicts: dict[ObjectKey, int] = {}
        self._given_up: set[ObjectKey] = set()
        self._bugs: dict[ObjectKey, str] = {}
        self._postponed: dict[ObjectKey, str] = {}

    def run(self) -> None:
        """Reconcile keys until the queue is closed."""
        while (key := self._queue.get()) is not None:
            try:
                self.handle(key)
            finally:
                self._queue.done(key)
            if self._gives_way() and self._queue.overdue_seconds() < MOST_OVERDUE_SECONDS:
                self._metrics.rests.inc()
                self._queue.rest(REST_SECONDS)

    def has_given_up(self, key: ObjectKey) -> bool:
        """Whether `key` failed for good: nothing but a change of the object is worth another pass."""
        return key in self._given_up

    def handle(self, key: ObjectKey) -> Outcome:
        """Make one pass for `key`, and put it back into the queue as its outcome asks."""
        began = self._clock.monotonic()
        self._metrics.active.inc()
        try:
            with about(kind=key.kind, namespace=key.namespace, name=key.name, reconcile_id=f"{next(_PASSES):x}"):
                try:
                    outcome = self._worked(key, self._loop.reconcile(key))
                except Exception as error:  # noqa: BLE001 -- the one place that turns every exception into an outcome.
                    outcome = self._failed(key, error)
        finally:
            self._metrics.active.dec()
        self._metrics.passed(outcome, self._clock.monotonic() - began)
        return outcome

    def _worked(self, key: ObjectKey, result: Result) -> Outcome:
        self._forget(key)
        if result.again:
            self._queue.add(key)
            return Outcome.REQUEUE
        if result.requeue_after_seconds is not None:
            self._queue.add_after(key, result.requeue_after_seconds)
            return Outcome.REQUEUE_AFTER
        return Outcome.SUCCESS

    def _failed(self, key: ObjectKey, error: Exception) -> Outcome:
        match error:
            case Conflict():
                return self._conflict(key, error)
            case UnreadableError():
                return self._unreadable(key, error)
            case TerminalError():
                return self._terminal(key, error)
            case Postponed():
                return self._wait(key, error)
            case TransientError():
                return self._transient(key, error)
            case SyscallError() if error.errno in _HOPELESS:
                return self._terminal(key, TerminalError("HostUnsupported", str(error)))
            case OSError():
                return self._transient(key, TransientError("HostError", str(error)))
            case ApiError():
                return self._refused(key, error)
            case _:
                return self._bug(key, error)

    def _conflict(self, key: ObjectKey, error: Conflict) -> Outcome:
        conflicts = self._conflicts[key] = self._conflicts.get(key, 0) + 1
        _log.debug("object changed during a pass", extra=keys(conflicts=conflicts, error=error))
        if conflicts > MOST_CONFLICTS_AT_ONCE:
            self._queue.add_after(key, self._backoff.failed(key))
        else:
            self._queue.add(key)
        return Outcome.REQUEUE

    def _refused(self, key: ObjectKey, error: ApiError) -> Outcome:
        if isinstance(error, NotFound) and self._loop.is_absent(key):
            return self._worked(key, Result())  # It went while we looked: nothing is left to own.
        return self._transient(key, TransientError(error.reason, error.message))

    def _transient(self, key: ObjectKey, error: TransientError) -> Outcome:
        self._given_up.discard(key)
        seconds = self._backoff.failed(key)
        self._tell(key, error)
        self._queue.add_after(key, seconds)
        _log.warning("reconcile failed", extra=keys(reason=error.reason, error=error, retry_seconds=round(seconds, 3)))
        return Outcome.ERROR

    def _wait(self, key: ObjectKey, error: Postponed) -> Outcome:
        is_news = self._postponed.get(key) != error.reason  # One line for what is waited for, not one for each look.
        self._forget(key)
        self._postponed[key] = error.reason
        if self._tell(key, error, EventType.NORMAL if is_news else None) and is_news:
            _log.info("reconcile waits", extra=keys(reason=error.reason, message=error.message))
        self._queue.add_after(key, error.check_again_seconds)
        return Outcome.REQUEUE_AFTER

    def _terminal(self, key: ObjectKey, error: TerminalError) -> Outcome:
        is_news = key not in self._given_up
        self._forget(key)
        self._given_up.add(key)
        if not self._tell(key, error):
            self._queue.add(key)
        if is_news:
            _log.warning("reconcile failed for good", extra=keys(reason=error.reason, error=error))
        self._metrics.terminal_errors.inc()
        return Outcome.ERROR

    def _unreadable(self, key: ObjectKey, error: UnreadableError) -> Outcome:
        self._forget(key)
        self._given_up.add(key)
        self._recorder.record(error.document, EventType.WARNING, "UnreadableObject", str(error))
        _log.error("object in the store is not valid", extra=keys(error=error))
        return Outcome.ERROR

    def _bug(self, key: ObjectKey, error: Exception) -> Outcome:
        seconds = self._backoff.failed(key)
        said = f"{type(error).__name__}: {error}"
        is_news = self._bugs.get(key) != said  # One traceback for each bug, not one for each retry.
        self._bugs[key] = said
        detail = keys(outcome="bug", error=said, retry_seconds=round(seconds, 3))
        _log.error("reconcile ended in a bug", exc_info=error if is_news else None, extra=detail)
        self._metrics.bugs.inc()
        self._queue.add_after(key, seconds)
        return Outcome.ERROR

    def _tell(
        self, key: ObjectKey, error: TransientError | TerminalError, event: EventType | None = EventType.WARNING
    ) -> bool:
        """Put the failure on record, and in an event if there is to be one; return whether it is there."""
        try:
            document = self._loop.report_failure(key, error)
        except (Conflict, NotFound):
            return False  # It changed or went this moment: the next pass tells.
        except Exception:  # noqa: BLE001 -- the first failure counts: this one must not hide it, nor end the thread.
            _log.exception("cannot store why a reconcile failed", extra=keys(reason=error.reason, error=error))
            self._queue.add_after(key, self._backoff.failed(key))
            return True
        if document is not None and event is not None:
            self._recorder.record(document, event, error.reason, error.message)
        return True

    def _forget(self, key: ObjectKey) -> None:
        self._backoff.forget(key)
        self._conflicts.pop(key, None)
        self._given_up.discard(key)
        self._bugs.pop(key, None)
        self._postponed.pop(key, None)
