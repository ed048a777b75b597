"""What is done now and then, beside reconciling: compaction, old events, proofs, caches, namespaces."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from api.errors import ApiError
from api.objects.verbs import Verbs
from controller.daemon.authority import HostAuthority
from controller.daemon.expiring import Expiring
from controller.daemon.job_files import JobFiles
from controller.daemon.package_caches import PackageCaches
from controller.daemon.settings import Settings
from controller.engine.clock import Clock
from controller.registry.parts import Parts
from state.store import Store

_log = logging.getLogger(__name__)
_TICK_SECONDS = 5.0
_CACHES_EVERY_TICKS = 12


class Housekeeping:
    """A thread that does small chores at their times; a chore that fails is logged and tried again."""

    def __init__(
        self,
        store: Store,
        verbs: Verbs,
        clock: Clock,
        settings: Settings,
        caches: PackageCaches,
        downloads: Parts,
        authority: HostAuthority,
        files: JobFiles,
    ) -> None:
        """Keep these parts tidy."""
        self._authority = authority
        self._files = files
        self._expiring = Expiring(verbs, clock)
        self._caches = caches
        self._downloads = downloads
        self._store = store
        self._verbs = verbs
        self._clock = clock
        self._event_ttl = timedelta(seconds=settings.state.event_ttl_seconds)
        self._every_ticks = max(1, round(settings.state.compact_seconds / _TICK_SECONDS))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the chore that it is at."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        tick = 0
        while not self._stopping.wait(_TICK_SECONDS):
            tick += 1
            self._chore("finish namespaces", self._verbs.finish_namespaces)
            if tick % _CACHES_EVERY_TICKS == 0:
                self._chore("renew the server's certificate", self._authority.renew)
                self._chore("remove proofs that are over", self._expiring.sweep)
                self._chore("trim package caches", self._caches.trim)
                self._chore("remove old parts of downloads", self._downloads.sweep)
                self._chore("collect uploads", self._files.collect)
            if tick % self._every_ticks == 0:
                self._chore("expire events", lambda: self._store.expire_events(self._clock.now() - self._event_ttl))
                self._chore("compact the store", self._store.compact)

    @staticmethod
    def _chore(name: str, do: Callable[[], object]) -> None:
        try:
            do()
        except (ApiError, OSError):
            _log.exception("chore failed", extra={"chore": name})
