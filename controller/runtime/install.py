"""Installing and removing one version, so that no half of a tree is ever seen.

Download, unpack, verify and flush beside the trees, then one rename; removing is the same backwards.
A crash leaves at most something in `.staging`, which `clean_staging` and the next install remove.
Never here: which versions are wanted, and whether one is in use.
Invariants: a directory called NAME-VERSION is complete, and flushed to the disk, from the moment it is
there; a tree that has no record of ours is never changed, moved or removed.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import httpx

from api import runtime_spec
from controller.engine.clock import Clock
from controller.engine.errors import TerminalError, TransientError
from controller.linux import disk
from controller.linux.disk import RenameFlag
from controller.registry import platforms
from controller.registry.catalogue import Entry, why_unsupported
from controller.runtime import download, locks, origin, tree
from controller.runtime.archive import Limits
from controller.runtime.download import Archive, Progress, Received
from controller.runtime.origin import Origin
from controller.runtime.tree import InstalledRuntime

SPACE_FLOOR_BYTES = 1 << 30
_SPACE_FACTOR = 3
_RECIPE = "setup.sh"


@dataclass(frozen=True, slots=True)
class Package:
    """What to install: an entry of a catalogue, the URL of its archive in full, and who offers it."""

    entry: Entry
    url: str
    registry: str


@dataclass(frozen=True, slots=True)
class Host:
    """What installing needs to know of this host: where the trees are, what it is, its clock and its network.

    `space_floor_bytes` must be free, however small the archive.
    """

    root: Path
    platform: str
    clock: Clock
    client: httpx.Client
    space_floor_bytes: int = SPACE_FLOOR_BYTES
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class Installed:
    """A version that is there now. `warning` says what is odd about it, such as a registry that changed its mind."""

    name: str
    version: str
    path: Path
    was_there: bool
    origin: Origin | None
    warning: str = ""

    @property
    def message(self) -> str:
        """What to tell who asked for it."""
        spec = f"{self.name}@{self.version}"
        return f"Runtime {spec} is already installed" if self.was_there else f"Runtime {spec} is installed"


def install(
    package: Package, host: Host, *, progress: Progress | None = None, force: bool = False, wait: bool = True
) -> Installed:
    """Install `package`, unless it is there; with `force` again, the old tree in its place until the new one is.

    A broken tree of ours is replaced. Safe from many threads and processes: one version is downloaded
    once, the others wait or, with `wait` False, are told.

    Raises:
        TerminalError: PlatformUnsupported, InvalidArchive, InvalidRuntime.
        TransientError: InsufficientSpace, Conflict, InstallInProgress, ChecksumMismatch, Unreachable and the like.
    """
    entry = package.entry
    runtime_spec.check_name(entry.name)
    runtime_spec.check_version(entry.version)
    if why := why_unsupported(entry, host.platform):
        raise TerminalError("PlatformUnsupported", f"cannot install {why}")
    key = origin.key(entry.name, entry.version)
    with locks.exclusive(host.root, key, wait=wait):
        there = find(host.root, entry.name, entry.version)
        if there is not None and not force:
            return _already(package, host.root, there)
        _refuse_foreign(package, host.root, there)
        _check_space(package, host)
        staging = _fresh_staging(host.root, key)
        try:
            return _install_through(staging, package, host, progress)
        finally:
            _discard(host.root, key)


def find(root: Path, name: str, version: str | None) -> InstalledRuntime | None:
    """Return the usable tree of this version, in whatever layout; if several claim it, the first of them."""
    for runtime in tree.scan(root):
        if runtime.is_valid and (runtime.name, runtime.version) == (name, version):
            return runtime
    return None


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
        if not origin.is_ours(root, name, version, root / key):
            return False
        staging = _fresh_staging(root, key)
        os.rename(root / key, staging / "removed")
        disk.sync_directory(root)
        _discard(root, key)
    return True


def clean_staging(root: Path) -> tuple[str, ...]:
    """Remove what installs and removals left behind when they were cut off; return which. Running ones stay."""
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


def _already(package: Package, root: Path, there: InstalledRuntime) -> Installed:
    entry = package.entry
    known = origin.read(root, entry.name, entry.version)
    warning = ""
    if known is not None and known.sha256 != entry.sha256:
        warning = (
            f"{package.registry} now offers {entry.name}@{entry.version} with checksum sha256:{entry.sha256}, "
            f"installed is sha256:{known.sha256} from {known.registry}: a version must not change; ask its owner"
        )
    return Installed(entry.name, entry.version, there.path, was_there=True, origin=known, warning=warning)


def _check_space(package: Package, host: Host) -> None:
    size = package.entry.size_bytes or 0
    needed = max(host.space_floor_bytes, _SPACE_FACTOR * size)
    space = os.statvfs(host.root)
    free = space.f_bavail * space.f_frsize
    if free < needed:
        raise TransientError(
            "InsufficientSpace",
            f"cannot install {package.entry.name}@{package.entry.version}: {host.root} needs {_mib(needed)} free "
            f"and has {_mib(free)}: remove runtimes or files there",
        )


def _refuse_foreign(package: Package, root: Path, there: InstalledRuntime | None) -> None:
    """Refuse to install over, or beside, a tree of this version that somebody else put there."""
    name, version = package.entry.name, package.entry.version
    path = root / origin.key(name, version) if there is None else there.path
    if os.path.lexists(path) and not origin.is_ours(root, name, version, path):
        why = f"{path} is in the way and was not installed by us: remove it or move it elsewhere"
        raise TransientError("Conflict", f"cannot install {name}@{version}: {why}")


def _install_through(staging: Path, package: Package, host: Host, progress: Progress | None) -> Installed:
    received = _download(staging, package, host, progress)
    wrapper = received.unpacked.wrapper
    payload = staging / "tree" / wrapper if wrapper else staging / "tree"
    _check_payload(payload, package, host)
    source = _record(package, host, received)
    disk.sync_file_system(payload)  # Tree and record are on the disk before the name that shows them.
    target = host.root / origin.key(package.entry.name, package.entry.version)
    _activate(payload, target)
    return Installed(package.entry.name, package.entry.version, target, was_there=False, origin=source)


def _download(staging: Path, package: Package, host: Host, progress: Progress | None) -> Received:
    (staging / "tree").mkdir(mode=0o755)
    (staging / "tree").chmod(0o755)
    wanted = Archive(package.url, package.entry.sha256, package.entry.size_bytes)
    directory = os.open(staging / "tree", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return download.fetch_into(directory, wanted, host.client, limits=host.limits, progress=progress)
    finally:
        os.close(directory)


def _check_payload(payload: Path, package: Package, host: Host) -> None:
    """Refuse what would not be a usable runtime once it is in its place."""
    entry = package.entry
    names = os.listdir(payload)
    if tree.MANIFEST not in names:
        if _RECIPE in names:
            why = (
                f"it is a recipe ({_RECIPE}), not a prebuilt tree: recipe packages are not supported yet by this source"
            )
            raise _invalid(entry, why)
        raise _invalid(entry, "Invalid runtime package: no runtime.yml or setup.sh found after extraction")
    found = tree.inspect(payload, directory=origin.key(entry.name, entry.version))
    if found.problems:
        raise _invalid(entry, "; ".join(found.problems))
    if (found.name, found.version) != (entry.name, entry.version):
        raise _invalid(entry, f"its runtime.yml is that of {found.spec}")
    made_for = found.manifest.requirements.architectures if found.manifest else ()
    machine = host.platform.rpartition("-")[2]
    if made_for and machine not in {platforms.architecture(name) for name in made_for}:
        message = (
            f"cannot install {entry.name}@{entry.version}: it is made for {', '.join(made_for)}, not for {machine}"
        )
        raise TerminalError("PlatformUnsupported", message)


def _record(package: Package, host: Host, received: Received) -> Origin:
    source = Origin(
        name=package.entry.name,
        version=package.entry.version,
        registry=package.registry,
        url=package.url,
        sha256=package.entry.sha256,
        archive_bytes=received.archive_bytes,
        entries=received.unpacked.entries,
        expanded_bytes=received.unpacked.expanded_bytes,
        installed_at=host.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    origin.write(host.root, source)
    return source


def _activate(payload: Path, target: Path) -> None:
    """Put the finished tree in its place; what is there takes the place of the payload in the same instant."""
    swap = RenameFlag.EXCHANGE if os.path.lexists(target) else RenameFlag.NOREPLACE
    disk.rename(payload, target, swap)
    disk.sync_directory(target.parent)


def _fresh_staging(root: Path, key: str) -> Path:
    """Return an empty directory that is ours while the lock of `key` is held; a cut-off run's leftovers go."""
    staging = root / origin.STAGING / key
    if os.path.lexists(staging):
        shutil.rmtree(staging)
    staging.parent.mkdir(mode=0o700, exist_ok=True)
    staging.mkdir(mode=0o700)
    return staging


def _discard(root: Path, key: str) -> None:
    """Remove the staging directory of `key`, and its record if there is no tree: the end of every change."""
    if not os.path.lexists(root / key):
        origin.forget(root, key)  # First: what is left in staging says that there is something to clean.
    shutil.rmtree(root / origin.STAGING / key, ignore_errors=True)


def _invalid(entry: Entry, why: str) -> TerminalError:
    return TerminalError("InvalidRuntime", f"cannot install {entry.name}@{entry.version}: {why}")


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.0f} MiB"
