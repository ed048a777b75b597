"""Tells in a runtime's status how far its installs are, a few times a second, and stops those nobody wants any more.

Invariant: what cannot be told now is told by the next note; an install never fails because of it.
"""

import threading

from api.errors import ApiError
from api.meta import Document, ObjectKey
from api.ports import Storage
from api.runtime_spec import LATEST
from api.types.runtime import Runtime, RuntimeVersion, VersionState
from controller.engine.clock import Clock
from controller.engine.errors import TransientError
from controller.runtime import report
from controller.runtime.download import Progress
from controller.runtime.install import Package

_EVERY_SECONDS = 0.25


class NoLongerWanted(TransientError):
    """The version that is being installed was dropped from the spec, or the runtime deleted, meanwhile."""

    def __init__(self, spec: str) -> None:
        """Name what was dropped."""
        super().__init__("NoLongerWanted", f"{spec} is no longer wanted")


class InstallProgress:
    """The notes about all versions of one runtime that are being installed at once."""

    def __init__(self, storage: Storage, key: ObjectKey, clock: Clock) -> None:
        """Write to the status of `key`."""
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

    def of(self, package: Package) -> Progress:
        """Return what an install of `package` is to call; it raises NoLongerWanted to end the install."""
        version = package.entry.version

        def note(done_bytes: int, size_bytes: int | None) -> None:
            size = size_bytes or package.entry.size_bytes
            entry = RuntimeVersion(
                version=version, state=VersionState.INSTALLING, done_bytes=done_bytes, size_bytes=size
            )
            if not self._tell(version, entry):
                raise NoLongerWanted(f"{package.entry.name}@{version}")

        return note

    def ended(self, package: Package) -> None:
        """The install of `package` is over, well or not."""
        with self._lock:
            self._going.pop(package.entry.version, None)

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
            if going != self._told:
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
    return not runtime.meta.is_deleting and (version in runtime.spec.versions or LATEST in runtime.spec.versions)
