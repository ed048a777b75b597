"""Tells in a runtime's status how far its installs are, a few times a second, and stops those nobody wants any more.

Invariant: what cannot be told now is told by the next note; an install never fails because of it.
"""

import threading

from api import runtime_spec
from api.errors import ApiError
from api.meta import Document, ObjectKey
from api.ports import Storage
from api.types.runtime import Runtime, RuntimeVersion, VersionState
from controller.engine.clock import Clock
from controller.engine.errors import TransientError
from controller.runtime import report
from controller.runtime.archives.download import Progress
from controller.runtime.trees.source import TreeSource

_EVERY_SECONDS = 0.25


class NoLongerWanted(TransientError):
    """The version that is being installed was dropped from the spec, or the runtime deleted, meanwhile."""

    def __init__(self, spec: str) -> None:
        """Name what was dropped."""
        super().__init__("NoLongerWanted", f"{spec} is no longer wanted")


class InstallProgress:
    """The notes about all versions of one runtime that are being installed at once."""

    def __init__(self, storage: Storage, key: ObjectKey, clock: Clock, *, quiet: bool = False) -> None:
        """Write to the status of `key`; `quiet` writes nothing, and still stops what nobody wants any more."""
        self._quiet = quiet
        self._storage = storage
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        self._going: dict[str, RuntimeVersion] = {}
        self._told: tuple[RuntimeVersion, ...] = ()
        self._told_at = float("-inf")

    @property
    def has_told(self) -> bool:
        """Whether the status was written."""
        return bool(self._told)

    def of(self, source: TreeSource) -> Progress:
        """Return what an install of `source` is to call; it raises NoLongerWanted to end the install."""
        version = source.version

        def note(done_bytes: int, size_bytes: int | None) -> None:
            size = size_bytes or source.size_bytes
            entry = RuntimeVersion(
                version=version, state=VersionState.INSTALLING, done_bytes=done_bytes, size_bytes=size
            )
            if not self._tell(version, entry):
                raise NoLongerWanted(f"{source.name}@{version}")

        return note

    def ended(self, source: TreeSource) -> None:
        """The install of `source` is over, well or not."""
        with self._lock:
            self._going.pop(source.version, None)

    def _tell(self, version: str, entry: RuntimeVersion) -> bool:
        """Note `entry`; return whether its version is still wanted, as far as was looked."""
        with self._lock:
            self._going[version] = entry
            now = self._clock.monotonic()
            if now - self._told_at < _EVERY_SECONDS:
                return True
            self._told_at = now
            document = self._storage.get(self._key)
            if document is None or not _wants(document, version):
                return False
            going = tuple(self._going.values())
            if going != self._told and not self._quiet:
                self._write(document, going)
            return True

    def _write(self, document: Document, going: tuple[RuntimeVersion, ...]) -> None:
        status = report.with_progress(Runtime.model_validate(document), going, self._clock.now())
        try:
            self._storage.update_status(document | {"status": status.to_document()})
        except ApiError:
            return  # Somebody wrote at the same moment: the next note will tell.
        self._told = going


def _wants(document: Document, version: str) -> bool:
    runtime = Runtime.model_validate(document)
    wanted = any(runtime_spec.matches(asked, version) for asked in runtime.spec.versions)
    return wanted and not runtime.meta.is_deleting
