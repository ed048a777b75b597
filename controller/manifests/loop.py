"""The thread that keeps the store at what the sources declare.

One thread for all feeds: it looks when woken and when a feed asks to be looked at, applies, prunes,
and reports. Never here: what a feed is, nor how anything is applied.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from api.errors import ApiError
from api.objects.verbs import Verbs
from api.ports import Storage
from controller.engine.clock import Clock
from controller.engine.log import keys
from controller.engine.recorder import Recorder
from controller.manifests.applier import Applier
from controller.manifests.reports import ManifestMetrics, Reports
from controller.manifests.sources import Feed, FeedError, Reading

_log = logging.getLogger(__name__)
_GATHER_SECONDS = 0.02  # A thousand files that come at once are looked at a few times, not a thousand.
_RETRY_SECONDS = 1.0


@dataclass(slots=True)
class _Served:
    """A feed, and where we are with it."""

    feed: Feed
    applier: Applier
    reading: Reading | None = None
    look_at: float = 0.0
    thoroughly_at: float = 0.0
    apply_at: float | None = None
    is_thorough: bool = True
    has_been_read: bool = False
    failure: str = ""


class ManifestsLoop:
    """Serves all feeds from `start` to `stop`."""

    def __init__(
        self, feeds: Sequence[tuple[Feed, Applier]], reports: Reports, clock: Clock, thorough_seconds: float = 30.0
    ) -> None:
        """Serve `feeds`; every `thorough_seconds` also put right what others changed in the store."""
        self.reports = reports
        self._served = [_Served(feed, applier) for feed, applier in feeds]
        self._clock = clock
        self._thorough_seconds = thorough_seconds
        self._condition = threading.Condition()
        self._is_woken = False
        self._is_stopped = False
        self._synced = threading.Event()
        self._thread = threading.Thread(target=self._run, name="manifests", daemon=True)

    @classmethod
    def over(
        cls,
        feeds: Sequence[Feed],
        verbs: Verbs,
        storage: Storage,
        recorder: Recorder,
        clock: Clock,
        registry: CollectorRegistry,
        thorough_seconds: float = 30.0,
    ) -> "ManifestsLoop":
        """Return a loop over `feeds` with all that it needs, its metrics in `registry`."""
        metrics = ManifestMetrics(registry)
        reports = Reports(storage, recorder, clock, metrics)
        pairs = [(feed, Applier(feed, verbs, storage, clock, metrics)) for feed in feeds]
        return cls(pairs, reports, clock, thorough_seconds)

    def start(self) -> None:
        """Begin to watch and apply."""
        for served in self._served:
            served.feed.start(self.wake)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after what it is at, and stop watching."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        for served in self._served:
            served.feed.stop()

    def is_synced(self) -> bool:
        """Whether every feed was read, and applied, once; one that cannot be read counts too."""
        return self._synced.is_set()

    def wait_until_synced(self, seconds: float = 2.0) -> bool:
        """Wait until every feed was read, and applied, once; no longer than `seconds`. Return whether they were."""
        return self._synced.wait(seconds)

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Look at all feeds now."""
        with self._condition:
            self._is_woken = True
            self._condition.notify_all()

    def step(self, *, is_woken: bool = False) -> float:
        """Look at what is due and apply it; return in how many seconds to do that again."""
        for served in self._served:
            self._serve(served, is_woken=is_woken)
        if all(served.has_been_read for served in self._served):
            self._synced.set()
        now = self._clock.monotonic()
        due = [moment for served in self._served for moment in (served.look_at, served.apply_at) if moment is not None]
        return max(min(due, default=now + self._thorough_seconds) - now, 0.0)

    def _serve(self, served: _Served, *, is_woken: bool) -> None:
        now = self._clock.monotonic()
        is_due = served.apply_at is not None and now >= served.apply_at
        if is_woken or now >= served.look_at or served.feed.is_elsewhere():
            is_due |= self._look(served, now)
            served.look_at = now + served.feed.look_again_seconds()
            if served.thoroughly_at > now:
                served.look_at = min(served.look_at, served.thoroughly_at)
        if is_due and served.reading is not None:
            self._apply(served, served.reading)

    def _look(self, served: _Served, now: float) -> bool:
        is_thorough = now >= served.thoroughly_at
        try:
            reading = served.feed.look(thoroughly=is_thorough)
        except FeedError as error:
            if served.failure != str(error):
                _log.error("cannot read a source of manifests", extra=keys(source=served.feed.kind, error=error))
            served.failure = str(error)
            self.reports.feed_failed(served.feed.kind, served.failure)
            served.has_been_read = True
            served.reading = None  # What it held may have changed: nothing is done until it can be read.
            served.apply_at = None
            return False
        served.failure = ""
        if is_thorough:
            served.thoroughly_at = now + self._thorough_seconds
            served.is_thorough = True
        if reading is not None:
            served.reading = reading
        return reading is not None

    def _apply(self, served: _Served, reading: Reading) -> None:
        served.apply_at = self._clock.monotonic() + _RETRY_SECONDS  # Unless we come to the end of it.
        try:
            applied = served.applier.apply(reading, thoroughly=served.is_thorough)
        except ApiError as error:
            _log.warning("cannot apply manifests", extra=keys(source=served.feed.kind, error=error))
            return
        self.reports.replace(served.feed.kind, applied.reports)
        served.has_been_read, served.is_thorough = True, False
        retry = applied.retry_seconds
        served.apply_at = None if retry is None else self._clock.monotonic() + retry

    def _run(self) -> None:
        is_woken = False
        while not self._is_stopped:
            try:
                seconds = self.step(is_woken=is_woken)
            except Exception:  # noqa: BLE001 -- one file that we did not think of must not end the reading of all.
                _log.exception("reading the manifests ended in a bug")
                seconds = _RETRY_SECONDS
            is_woken = self._wait(seconds)

    def _wait(self, seconds: float) -> bool:
        with self._condition:
            if not self._is_woken and not self._is_stopped:
                self._condition.wait(seconds)
            if self._is_woken and not self._is_stopped:
                self._is_woken = False
                self._condition.wait_for(lambda: self._is_stopped, _GATHER_SECONDS)
                self._is_woken = False
                return True
            return False
