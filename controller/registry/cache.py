"""Catalogues kept on disk: used for an hour, and for as long as their registry is down.

Invariants: a refresh that fails, for whatever reason, costs nothing that is kept; two threads that want
one catalogue fetch it once; a file of the cache that cannot be read is the same as none; where there is a key,
nothing that it did not sign is used, neither from a server nor from the disk.
"""

import base64
import hashlib
import json
import os
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx

from controller.engine.clock import Clock
from controller.engine.errors import TransientError
from controller.registry import catalogue, fetch, signatures
from controller.registry.catalogue import Catalogue
from controller.registry.fetch import Fetched
from controller.registry.upstream import Upstream

TTL_SECONDS = 3600.0
_RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Cached:
    """A catalogue and how old it is. If it could not be refreshed it is stale: `reason` and `error` say why.

    `url` is where it was fetched: of a mirror, if `passed_over` says why it was not the registry's own.
    """

    catalogue: Catalogue
    fetched_at: datetime
    age_seconds: float
    reason: str = ""
    error: str = ""
    url: str = ""
    passed_over: str = ""

    @property
    def is_stale(self) -> bool:
        """Whether it is older than wanted because its registry could not be read."""
        return bool(self.error)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was fetched, from which of a registry's URLs and why from none before it, and its signature if needed."""

    fetched: Fetched
    catalogue: Catalogue
    fetched_at: datetime
    url: str
    signature: bytes = b""
    passed_over: str = ""


@dataclass(slots=True)
class _Slot:
    """All there is about one URL; its lock is held while it is looked at or fetched."""

    lock: threading.Lock
    kept: _Kept | None = None
    is_loaded: bool = False
    failure: TransientError | None = None
    failures: int = 0
    failed_at: float = float("-inf")


class CatalogueCache:
    """The catalogues of all registries. Safe to use from many threads; reading one waits for nobody else's."""

    def __init__(self, directory: Path, client: httpx.Client, clock: Clock) -> None:
        """Keep catalogues in `directory`, made when needed; `client` is the caller's to close."""
        self._directory = directory
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot] = {}

    def get(self, upstream: Upstream, *, ttl_seconds: float = TTL_SECONDS, refresh: bool = False) -> Cached:
        """Return the catalogue of `upstream`: the kept one if it is young enough, else a fresh one.

        `refresh` asks the registry however young the kept one is. If the registry cannot be read the kept
        one is returned, with the error; after failures it is left in peace, up to a minute.

        Raises:
            TransientError: it cannot be read and nothing is kept.
        """
        slot = self._slot(upstream.key)
        with slot.lock:
            self._load_once(slot, upstream)
            if self._is_due(slot, ttl_seconds, refresh=refresh):
                self._refresh(slot, upstream)
            failure = slot.failure
            if slot.kept is None:
                failure = failure or TransientError("Unreachable", f"cannot read {upstream.url}: not tried yet")
                raise TransientError(failure.reason, failure.message)
            kept, age = slot.kept, self._age(slot.kept)
            found = Cached(kept.catalogue, kept.fetched_at, age, url=kept.url, passed_over=kept.passed_over)
            if failure is None or (self._is_young(kept, ttl_seconds) and not refresh):
                return found
            return replace(found, age_seconds=max(0.0, age), reason=failure.reason, error=failure.message)

    def peek(self, upstream: Upstream) -> Catalogue | None:
        """Return what is kept of the catalogue, however old; asks nobody and waits for nobody."""
        slot = self._slot(upstream.key)
        if not slot.is_loaded and slot.lock.acquire(blocking=False):
            try:
                self._load_once(slot, upstream)
            finally:
                slot.lock.release()
        kept = slot.kept
        return None if kept is None else kept.catalogue

    def retry_seconds(self, upstream: Upstream) -> float:
        """Return in how long a registry that could not be read will be asked again."""
        slot = self._slot(upstream.key)
        with slot.lock:
            return max(0.0, slot.failed_at + self._peace(slot) - self._clock.monotonic())

    def forget(self, upstream: Upstream) -> None:
        """Drop what is kept of `upstream`, for a registry that is no longer wanted."""
        slot = self._slot(upstream.key)
        with slot.lock:
            self._file(upstream.key).unlink(missing_ok=True)
            slot.kept, slot.is_loaded = None, True
            slot.failure, slot.failures, slot.failed_at = None, 0, float("-inf")

    def _slot(self, url: str) -> _Slot:
        with self._lock:
            return self._slots.setdefault(url, _Slot(threading.Lock()))

    def _load_once(self, slot: _Slot, upstream: Upstream) -> None:
        if not slot.is_loaded:
            slot.kept, slot.is_loaded = self._load(upstream), True

    @staticmethod
    def _peace(slot: _Slot) -> float:
        """How long a registry that failed is left in peace: briefly at first, at most a minute."""
        return min(2.0 ** min(slot.failures - 1, 10), _RETRY_SECONDS)

    def _is_due(self, slot: _Slot, ttl_seconds: float, *, refresh: bool) -> bool:
        if refresh:
            return True
        if slot.kept is not None and self._is_young(slot.kept, ttl_seconds):
            return False
        return self._clock.monotonic() - slot.failed_at >= self._peace(slot)

    def _is_young(self, kept: _Kept, ttl_seconds: float) -> bool:
        # A negative age means that the wall clock was set back: ask, rather than trust it for years.
        return 0 <= self._age(kept) < ttl_seconds

    def _age(self, kept: _Kept) -> float:
        return (self._clock.now() - kept.fetched_at).total_seconds()

    def _refresh(self, slot: _Slot, upstream: Upstream) -> None:
        try:
            slot.kept = self._fetch(slot.kept, upstream)
            self._save(upstream.key, slot.kept)
        except TransientError as error:
            self._failed(slot, error)
        except OSError as error:
            message = f"cannot keep the catalogue of {upstream.url}: {error}"
            self._failed(slot, TransientError("Unreachable", message))
        else:
            slot.failure, slot.failures, slot.failed_at = None, 0, float("-inf")

    def _failed(self, slot: _Slot, error: TransientError) -> None:
        slot.failure, slot.failures, slot.failed_at = error, slot.failures + 1, self._clock.monotonic()

    def _fetch(self, kept: _Kept | None, upstream: Upstream) -> _Kept:
        """Return the catalogue as the registry has it now, or the first mirror that has a good one."""
        failures: list[TransientError] = []
        for url in dict.fromkeys((upstream.url, *(mirror.url for mirror in upstream.mirrors))):
            try:
                fetched = self._fetch_from(url, kept, upstream)
                return replace(fetched, passed_over="; ".join(failure.message for failure in failures))
            except TransientError as error:
                failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        raise TransientError(failures[0].reason, "; ".join(failure.message for failure in failures))

    def _fetch_from(self, url: str, kept: _Kept | None, upstream: Upstream) -> _Kept:
        known = kept.fetched if kept is not None and kept.url == url else None
        body = self._read(url, upstream, catalogue.MAX_BYTES, known)
        if body is not None:
            signature = self._signature(url, body.body, upstream)
            return _Kept(body, catalogue.parse(body.body), self._clock.now(), url, signature)
        if kept is None:
            raise TransientError("Unreachable", f"cannot read {url}: it says unchanged, and nothing is kept")
        return replace(kept, fetched_at=self._clock.now())

    def _signature(self, url: str, body: bytes, upstream: Upstream) -> bytes:
        """Return the signature beside the catalogue, which must be good, or nothing where none is asked for."""
        if not upstream.public_key:
            return b""
        try:
            signature = self._read(url + signatures.SUFFIX, upstream, signatures.MOST_BYTES)
        except TransientError as error:
            if error.reason not in ("NotFound", "TooLarge"):
                raise
            raise signatures.invalid(url, f"there is no signature beside it, {signatures.SUFFIX}") from error
        if signature is None:
            raise signatures.invalid(url, "its server does not send the signature")
        signatures.verify(url, body, signature.body, upstream.public_key)
        return signature.body

    def _read(self, url: str, upstream: Upstream, max_bytes: int, known: Fetched | None = None) -> Fetched | None:
        return fetch.fetch(self._client, url, self._clock, max_bytes=max_bytes, known=known, access=upstream.access)

    def _file(self, key: str) -> Path:
        return self._directory / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def _load(self, upstream: Upstream) -> _Kept | None:
        """Return what the disk keeps of `upstream`; torn, foreign, unsigned or unreadable is nothing."""
        try:
            document = json.loads(self._file(upstream.key).read_bytes())
            if document["url"] != upstream.key:
                return None
            fetched = Fetched(base64.b64decode(document["body"]), document["etag"], document["lastModified"])
            fetched_at = datetime.fromisoformat(document["fetchedAt"]).astimezone(UTC)
            signature = base64.b64decode(document.get("signature", ""))
            if upstream.public_key:
                signatures.verify(upstream.url, fetched.body, signature, upstream.public_key)
            from_url = document.get("from", upstream.url)
            passed_over = str(document.get("passedOver", ""))
            return _Kept(fetched, catalogue.parse(fetched.body), fetched_at, from_url, signature, passed_over)
        except (OSError, ValueError, KeyError, TypeError, TransientError):
            return None

    def _save(self, key: str, kept: _Kept) -> None:
        document = {
            "url": key,
            "from": kept.url,
            "passedOver": kept.passed_over,
            "fetchedAt": kept.fetched_at.isoformat(),
            "etag": kept.fetched.etag,
            "lastModified": kept.fetched.last_modified,
            "signature": base64.b64encode(kept.signature).decode(),
            "body": base64.b64encode(kept.fetched.body).decode(),
        }
        file = self._file(key)
        self._directory.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".new")  # One writer: the slot's lock is held.
        aside.write_text(json.dumps(document))
        os.replace(aside, file)
