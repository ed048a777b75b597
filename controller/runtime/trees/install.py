"""Installing and removing one version, so that no half of a tree is ever seen.

Make, check, digest, share and flush beside the trees, then one rename; removing is the same backwards.
A crash leaves at most something in `.staging`, which `clean_staging` and the next install remove.
Never here: which versions are wanted, whether one is in use, and how a tree is made (`source.py`).
Invariants: a directory called NAME-VERSION is complete, and flushed to the disk, from the moment it is
there; a tree that has no record of ours is never changed, moved or removed.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from api import runtime_spec
from controller.engine.clock import Clock
from controller.engine.errors import TerminalError, TransientError
from controller.linux import disk
from controller.linux.disk import RenameFlag
from controller.linux.removal import remove_tree
from controller.registry import platforms
from controller.registry.resume import PATIENT, Patience
from controller.runtime.archives.archive import Limits
from controller.runtime.archives.download import Progress
from controller.runtime.trees import locks, origin, remade, remembered, retired, tree
from controller.runtime.trees.content import Intake, Taken
from controller.runtime.trees.origin import Origin
from controller.runtime.trees.source import (
    BoundLook,
    HealthLook,
    LogLine,
    Made,
    Offered,
    RecipeMaker,
    TreeSource,
    fresh_directory,
)
from controller.runtime.trees.store import Store
from controller.runtime.trees.tree import InstalledRuntime

SPACE_FLOOR_BYTES = 1 << 30
_SPACE_FACTOR = 3
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Host:
    """What installing needs to know of this host: where the trees are, what it is, its clock and its network.

    `space_floor_bytes` must be free, however small the archive. Without `health` nobody looks whether a tree works,
    without `bound` whether it is bound to one content, without `build_recipe` recipes are refused.
    """

    root: Path
    platform: str
    clock: Clock
    client: httpx.Client
    space_floor_bytes: int = SPACE_FLOOR_BYTES
    limits: Limits | None = None
    patience: Patience = PATIENT
    health: HealthLook | None = None
    build_recipe: RecipeMaker | None = None
    bound: BoundLook | None = None


@dataclass(frozen=True, slots=True)
class Installed:
    """A version that is there now. `warning` says what is odd about it, such as a registry that changed its mind.

    `changed` says how what was made again differs from what was there, if it should not.
    """

    name: str
    version: str
    path: Path
    was_there: bool
    origin: Origin | None
    warning: str = ""
    changed: str = ""

    @property
    def message(self) -> str:
        """What to tell who asked for it."""
        spec = f"{self.name}@{self.version}"
        if self.was_there:
            return f"Runtime {spec} is already installed"
        return f"Runtime {spec} is installed{f'; {self.changed}' if self.changed else ''}"


def _silent(line: str) -> None:
    """Say nothing of what a build says."""


def install(
    source: TreeSource,
    host: Host,
    *,
    progress: Progress | None = None,
    log: LogLine = _silent,
    force: bool = False,
    in_use: bool = False,
    wait: bool = True,
) -> Installed:
    """Install what `source` makes, unless it is there; with `force` again, the old tree in its place until it is.

    A broken tree of ours is replaced, and one that was made from another fingerprint. Safe from many threads and
    processes: one version is made once, the others wait or, with `wait` False, are told.

    Args:
        force: make it again; files that other trees share are read again before they are used, so this also heals.
        in_use: runs may use the tree that is replaced: it is kept aside for them (`retired.py`), not removed.

    Raises:
        TerminalError: PlatformUnsupported, InvalidArchive, InvalidRuntime, Unhealthy, what the source says.
        TransientError: InsufficientSpace, Conflict, InstallInProgress, ChecksumMismatch, Unreachable and the like.
    """
    runtime_spec.check_name(source.name)
    runtime_spec.check_version(source.version)
    if why := source.refuse(host.platform):
        raise TerminalError("PlatformUnsupported", f"cannot install {why}")
    key = origin.key(source.name, source.version)
    with locks.exclusive(host.root, key, wait=wait):
        origin.settle(host.root, key)
        there = find(host.root, source.name, source.version)
        if there is not None and not force and not _is_outdated(source, host.root):
            return _already(source, host.root, there)
        _refuse_foreign(source, host.root, there)
        _check_space(source, host)
        staging = _fresh_staging(host.root, key)
        try:
            with _told_if_full(source, host):
                return _Installing(source, host, staging, progress, log, in_use).run(there)
        finally:
            _discard(host.root, key)


def find(root: Path, name: str, version: str) -> InstalledRuntime | None:
    """Return the usable tree of this version, in whatever layout; if several claim it, the first of them."""
    return next((runtime for runtime in tree.claiming(root, name, version) if runtime.is_valid), None)


def remove(root: Path, name: str, version: str, *, wait: bool = True) -> bool:
    """Remove the tree of this version that we installed, broken or not; say whether there was one.

    What others put there stays.

    Raises:
        TransientError: InstallInProgress, it is being changed and `wait` is False.
    """
    runtime_spec.check_name(name)
    runtime_spec.check_version(version)
    key = origin.key(name, version)
    with locks.exclusive(root, key, wait=wait):
        origin.settle(root, key)
        record = origin.read(root, name, version)
        if record is None or not os.path.lexists(root / key):
            return False
        is_kept = _is_remembered(root, record)
        staging = _fresh_staging(root, key)
        os.rename(root / key, staging / "removed")
        disk.sync_directory(root)
        _discard(root, key)
        if not is_kept:
            _is_remembered(root, record)
    return True


def _is_remembered(root: Path, record: Origin) -> bool:
    """Remember what a version held that goes; say whether there was room for that: a full disk keeps nothing here."""
    try:
        remembered.keep(root, record)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        return False
    return True


def clean_staging(root: Path) -> tuple[str, ...]:
    """Remove what installs and removals left behind when they were cut off; return which. Running ones stay."""
    locks.clean(root)
    try:
        left = sorted(os.listdir(root / origin.STAGING))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    cleaned = []
    for key in left:
        try:
            with locks.exclusive(root, key, wait=False):
                _discard(root, key)
        except TransientError:
            continue  # Somebody is at it right now.
        cleaned.append(key)
    return tuple(cleaned)


def _is_outdated(source: TreeSource, root: Path) -> bool:
    """Whether we installed this version from something else than what `source` is now."""
    known = origin.read(root, source.name, source.version)
    return known is not None and source.fingerprint != "" and known.fingerprint != source.fingerprint


def _already(source: TreeSource, root: Path, there: InstalledRuntime) -> Installed:
    known = origin.read(root, source.name, source.version)
    warning = source.changed_since(known) if known is not None and isinstance(source, Offered) else ""
    return Installed(source.name, source.version, there.path, was_there=True, origin=known, warning=warning)


def _check_space(source: TreeSource, host: Host) -> None:
    needed = max(host.space_floor_bytes, _SPACE_FACTOR * (source.size_bytes or 0))
    space = os.statvfs(host.root)
    free = space.f_bavail * space.f_frsize
    if free < needed:
        raise TransientError(
            "InsufficientSpace",
            f"cannot install {source.name}@{source.version}: {host.root} needs {_mib(needed)} free "
            f"and has {_mib(free)}: remove runtimes or files there",
        )


@contextmanager
def _told_if_full(source: TreeSource, host: Host) -> Iterator[None]:
    """Tell of a disk that is full in the one way, wherever it was noticed."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        what = f"{source.name}@{source.version}"
        message = f"cannot install {what}: {error.strerror} below {host.root}: remove runtimes or files there"
        raise TransientError("InsufficientSpace", message) from error


def _refuse_foreign(source: TreeSource, root: Path, there: InstalledRuntime | None) -> None:
    """Refuse to install over, or beside, a tree of this version that somebody else put there."""
    name, version = source.name, source.version
    path = root / origin.key(name, version) if there is None else there.path
    if os.path.lexists(path) and not origin.is_ours(root, name, version, path):
        why = f"{path} is in the way and was not installed by us: remove it or move it elsewhere"
        raise TransientError("Conflict", f"cannot install {name}@{version}: {why}")


@dataclass(frozen=True, slots=True)
class _Installing:
    """One tree on its way to its place; the lock of its version is held."""

    source: TreeSource
    host: Host
    staging: Path
    progress: Progress | None
    log: LogLine
    in_use: bool

    def run(self, there: InstalledRuntime | None) -> Installed:
        source, host = self.source, self.host
        made = source.make(fresh_directory(self.staging / "made"), host, self.progress, self.log)
        found = self._check_payload(made.payload)
        target = host.root / origin.key(source.name, source.version)
        coming, listing = origin.lists(host.root, source.name, source.version)[0], self.staging / "files"
        # Whoever has it made again suspects what is there, and what it shares with it.
        store = Store(host.root, self.staging / "link", distrust=os.path.lexists(target))
        intake = Intake(made.payload, store, made.digests)
        record = self._with_health(self._record(made, intake.take(listing)), found, there)
        if host.bound is not None:
            bound = host.bound(source, made)
            record = replace(record, bound=bound.reason, bound_message=bound.message)
        disk.sync_file_system(made.payload)  # Tree and list are on the disk before any name shows them.
        intake.share(listing)
        os.replace(listing, coming)
        before = origin.read(host.root, source.name, source.version)
        changed = remade.told(before, record, target, made.payload)
        if before is not None:
            remembered.keep(host.root, before)
        origin.announce(host.root, record)
        self._activate(made.payload, target)
        origin.settle(host.root, target.name)
        return Installed(source.name, source.version, target, was_there=False, origin=record, changed=changed)

    def _check_payload(self, payload: Path) -> InstalledRuntime:
        """Refuse what would not be a usable runtime once it is in its place."""
        source, host = self.source, self.host
        if not os.path.lexists(payload / tree.MANIFEST):
            raise self._invalid("Invalid runtime package: no runtime.yml or setup.sh found after extraction")
        found = tree.inspect(payload, directory=origin.key(source.name, source.version))
        if found.problems:
            raise self._invalid("; ".join(found.problems))
        if (found.name, found.version) != (source.name, source.version):
            raise self._invalid(f"its runtime.yml is that of {found.spec}")
        made_for = found.manifest.requirements.architectures if found.manifest else ()
        machine = host.platform.rpartition("-")[2]
        if made_for and machine not in {platforms.architecture(name) for name in made_for}:
            why = f"it is made for {', '.join(made_for)}, not for {machine}"
            raise TerminalError("PlatformUnsupported", f"cannot install {source.name}@{source.version}: {why}")
        return found

    def _record(self, made: Made, taken: Taken) -> Origin:
        return Origin(
            name=self.source.name,
            version=self.source.version,
            registry=self.source.offered_by,
            url=made.url,
            sha256=made.sha256,
            archive_bytes=made.archive_bytes,
            entries=made.entries,
            expanded_bytes=made.expanded_bytes,
            installed_at=origin.at(self.host.clock.now()),
            kind=self.source.kind,
            fingerprint=self.source.fingerprint,
            digest=taken.digest,
            inode=os.lstat(made.payload).st_ino,
            disk_bytes=taken.disk_bytes,
        )

    def _with_health(self, record: Origin, found: InstalledRuntime, there: InstalledRuntime | None) -> Origin:
        """Look whether the tree works; one that does not takes the place of none that does."""
        host = self.host
        if host.health is None or found.manifest is None:
            return record
        report = host.health(found.path, found.manifest, self.source)
        before = origin.read(host.root, record.name, record.version)
        if there is not None and before is not None and origin.is_worse(origin.health_of(report), before.health):
            why = f"{report.message}: what is installed stays"
            raise TerminalError("Unhealthy", f"cannot install {record.name}@{record.version}: {why}")
        return origin.with_health(record, report, host.clock.now())

    def _activate(self, payload: Path, target: Path) -> None:
        """Put the finished tree in its place; what is there goes aside in the same instant."""
        if not os.path.lexists(target):
            disk.rename(payload, target, RenameFlag.NOREPLACE)
        elif self.in_use:
            retired.exchange(self.host.root, target.name, payload, target)
        else:
            disk.rename(payload, target, RenameFlag.EXCHANGE)
        disk.sync_directory(target.parent)

    def _invalid(self, why: str) -> TerminalError:
        return TerminalError("InvalidRuntime", f"cannot install {self.source.name}@{self.source.version}: {why}")


def _fresh_staging(root: Path, key: str) -> Path:
    """Return an empty directory that is ours while the lock of `key` is held; a cut-off run's leftovers go."""
    staging = root / origin.STAGING / key
    remove_tree(staging)  # Which a killed build may have left deeper than any path.
    staging.parent.mkdir(mode=0o700, exist_ok=True)
    staging.mkdir(mode=0o700)
    return staging


def _discard(root: Path, key: str) -> None:
    """Remove the staging directory of `key`, and its record if there is no tree: the end of every change."""
    origin.settle(root, key)
    if not os.path.lexists(root / key):
        origin.forget(root, key)  # First: what is left in staging says that there is something to clean.
    with suppress(OSError):
        remove_tree(root / origin.STAGING / key)


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.0f} MiB"
