"""One kind's controller: an informer, a queue and workers around a reconciler.

Here: starting and stopping them in order. Stopping ends passes, never runs: whatever was left in
the queue is listed again at the next start.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from api.meta import ObjectKey
from api.ports import Change, Storage
from controller.engine.backoff import Backoff
from controller.engine.clock import Clock
from controller.engine.informer import Informer, Source, own_keys
from controller.engine.metrics import EngineMetrics
from controller.engine.reconcile import KindReconciler, ReconcileLoop
from controller.engine.recorder import Recorder
from controller.engine.worker import Worker
from controller.engine.workqueue import WorkQueue

RESYNC_SECONDS = 600.0

Also = tuple[str, Callable[[Change], Iterable[ObjectKey]]]
"""Another kind's name, and the keys of ours that a change of one of its objects makes due."""


class Controller:
    """Keeps the objects of one kind at their specs, from `start` to `stop`."""

    def __init__(
        self,
        reconciler: KindReconciler[Any, Any],
        storage: Storage,
        clock: Clock,
        recorder: Recorder,
        metrics: EngineMetrics,
        *,
        workers: int = 4,
        also: Sequence[Also] = (),
        resync_seconds: float = RESYNC_SECONDS,
        backoff: Backoff | None = None,
        gives_way: Callable[[], bool] = lambda: False,
        rest_seconds: float = 0.0,
    ) -> None:
        """Put the parts together; nothing runs yet. Workers rest between passes while `gives_way` says so.

        `rest_seconds` is for a kind that is told of very many changes of others, and has time: so long after each look
        at them the next is made.
        """
        kind = reconciler.kind
        name = kind.singular
        self.name = name
        self._clock = clock
        self._queue = WorkQueue(clock, metrics.queue_observer(name))
        metrics.watch_queue(name, self._queue)
        counts = metrics.controller(name, workers)
        loop = ReconcileLoop(reconciler, storage)
        self._worker = Worker(loop, self._queue, clock, recorder, counts, backoff, gives_way)
        sources = [Source(kind.name, own_keys(kind.finalizer)), *(Source(other, keys) for other, keys in also)]
        self._informer = Informer(
            storage, clock, kind.name, sources, self._queue.add, self._resync, resync_seconds, rest_seconds=rest_seconds
        )
        self._threads = [
            threading.Thread(target=self._worker.run, name=f"{name}-worker-{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        """Begin to list, watch and reconcile."""
        self.watch()
        self.work()

    def watch(self) -> None:
        """Begin to list and watch; what is due waits for `work`."""
        self._informer.start()

    def work(self) -> None:
        """Begin to reconcile."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float = 10.0) -> bool:
        """Begin no more passes and wait for those that run; return whether all ended in time."""
        self._informer.stop()
        self._queue.close()
        give_up = self._clock.monotonic() + timeout_seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(give_up - self._clock.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def enqueue(self, key: ObjectKey, after_seconds: float = 0.0) -> None:
        """Have `key` looked at now, or in `after_seconds`."""
        self._queue.add_after(key, after_seconds)

    def is_synced(self) -> bool:
        """Whether every object that was there at the start was enqueued."""
        return self._informer.is_synced()

    def is_alive(self) -> bool:
        """Whether all its threads run."""
        return self._informer.is_alive() and all(thread.is_alive() for thread in self._threads)

    def wake(self) -> None:
        """Have all that wait look at the clock again; for who moves the clock by hand."""
        self._queue.wake()
        self._informer.wake()

    def _resync(self, key: ObjectKey) -> None:
        if not self._worker.has_given_up(key):
            self._queue.add(key)
