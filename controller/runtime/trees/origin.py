"""Where an installed version came from: a small record beside the trees, and where all our own files lie.

    ROOT/NAME-VERSION/                      a tree
    ROOT/.runwright/NAME-VERSION.json       its origin
    ROOT/.runwright/NAME-VERSION.files      what is in it, line by line (`digest.py`)
    ROOT/.runwright/NAME-VERSION.digest     what it held before (`remembered.py`)
    ROOT/.runwright/NAME-VERSION~next.*     the same of a tree that is about to take its place
    ROOT/.runwright/NAME-VERSION.lock       held while it is installed or removed (`locks.py`)
    ROOT/.runwright/store/                  files by their content, shared by trees (`store.py`)
    ROOT/.runwright/parts/                  what came of large downloads that broke (`controller/registry/parts.py`)
    ROOT/.runwright/retired/                trees that were replaced while they were used (`retired.py`)
    ROOT/.staging/NAME-VERSION/             a tree on its way in or out

Invariants: a tree that we installed has its record before it can be seen; whenever a crash comes, the record that is
read is that of the tree which is there.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path

from controller.runtime.trees.source import HealthReport

RECORDS = ".runwright"
STAGING = ".staging"
HEALTHY, DEGRADED, UNHEALTHY = "Healthy", "Degraded", "Unhealthy"
"""How a tree was found: it works; it works, but parts of it lack libraries; it does not work."""

_RANKS = {UNHEALTHY: 0, DEGRADED: 1}
_NEXT, _ASIDE = "~next", ".new"


@dataclass(frozen=True, slots=True)
class Origin:
    """What was installed from where, and what is known of it since.

    `sha256` and `archive_bytes` are the archive's, `digest` the tree's; `inode` is the one that the tree has if it
    was not copied since. `health` was found at `checked_at`, on the kernel `checked_on`. `drift` says what differed
    from `digest` at `verified_at`. `bound` and `bound_message` are those of `source.Bound`. A record of an
    earlier version has no digest, and says nothing of bounds.
    """

    name: str
    version: str
    registry: str
    url: str
    sha256: str
    archive_bytes: int
    entries: int
    expanded_bytes: int
    installed_at: str
    kind: str = "registry"
    fingerprint: str = ""
    digest: str = ""
    inode: int = 0
    disk_bytes: int = 0
    health: str = ""
    health_message: str = ""
    checked_at: str = ""
    checked_on: str = ""
    verified_at: str = ""
    drift: str = ""
    bound: str = ""
    bound_message: str = ""


_FIELDS = frozenset(field.name for field in fields(Origin))


def key(name: str, version: str | None) -> str:
    """Return what the directory of this version is called."""
    return f"{name}-{version}" if version else name


def at(when: datetime) -> str:
    """Return a time as records have it."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def record_path(root: Path, name: str, version: str | None) -> Path:
    """Return where the record of this version is kept."""
    return root / RECORDS / f"{key(name, version)}.json"


def lists(root: Path, name: str, version: str | None) -> tuple[Path, Path]:
    """Return where the list of a version's files may be: its hash tells whether it is the list of a digest."""
    records, called = root / RECORDS, key(name, version)
    return records / f"{called}{_NEXT}.files", records / f"{called}.files"


def list_being_found(root: Path, name: str, version: str | None) -> Path:
    """Return where a list is written that is made of a tree which has none."""
    return root / RECORDS / f"{key(name, version)}.found"


def read(root: Path, name: str, version: str | None) -> Origin | None:
    """Return the record of an installed version, or None if we did not install it."""
    called = key(name, version)
    coming = _load(root / RECORDS / f"{called}{_NEXT}.json")
    if coming is not None and coming.inode == _inode(root / called):
        return coming
    return _load(root / RECORDS / f"{called}.json")


def announce(root: Path, origin: Origin) -> None:
    """Keep `origin`, durably, as the record of the tree with its inode, for when that takes the version's place."""
    _write(root / RECORDS / f"{key(origin.name, origin.version)}{_NEXT}.json", origin)


def settle(root: Path, called: str) -> None:
    """Make what was announced the record if its tree is in its place, or drop it. The lock of `called` is held.

    What was cut off in the middle of writing goes as well.
    """
    for record in (f"{called}.json", f"{called}{_NEXT}.json", f"{called}.digest"):
        (root / RECORDS / f"{record}{_ASIDE}").unlink(missing_ok=True)
    coming, files = (root / RECORDS / f"{called}{_NEXT}{suffix}" for suffix in (".json", ".files"))
    announced = _load(coming)
    if announced is None or announced.inode != _inode(root / called):
        coming.unlink(missing_ok=True)
        files.unlink(missing_ok=True)
        return
    if os.path.lexists(files):
        os.replace(files, root / RECORDS / f"{called}.files")
    os.replace(coming, root / RECORDS / f"{called}.json")


def note_health(root: Path, origin: Origin, report: HealthReport, when: datetime) -> Origin:
    """Keep how the tree of `origin` was found to be. The lock of the version is held."""
    noted = with_health(origin, report, when)
    _write(record_path(root, origin.name, origin.version), noted)
    return noted


def with_health(origin: Origin, report: HealthReport, when: datetime) -> Origin:
    """Return `origin` with how its tree was found to be."""
    health, message = health_of(report), report.message
    return replace(origin, health=health, health_message=message, checked_at=at(when), checked_on=kernel())


def kernel() -> str:
    """Return the release of the kernel that runs now."""
    return os.uname().release


def health_of(report: HealthReport) -> str:
    """Return the word for what was found."""
    if report.healthy:
        return HEALTHY
    return DEGRADED if report.works else UNHEALTHY


def is_worse(health: str, before: str) -> bool:
    """Say whether a tree found in `health` works less than one found in `before`; what nobody looked at works.

    >>> is_worse("Degraded", "Healthy"), is_worse("Degraded", "Degraded"), is_worse("Unhealthy", "")
    (True, False, True)
    """
    return _RANKS.get(health, len(_RANKS)) < _RANKS.get(before, len(_RANKS))


def not_to_be_chosen(healths: Mapping[str, str]) -> frozenset[str]:
    """Return which versions, by how each was found, a name or a range must not mean.

    Those that do not work; and those that work in part, where another works in full.

    >>> sorted(not_to_be_chosen({"1.0.0": "Degraded", "1.1.0": "Unhealthy"}))
    ['1.1.0']
    >>> sorted(not_to_be_chosen({"1.0.0": "Healthy", "1.1.0": "Degraded"}))
    ['1.1.0']
    """
    worse = {UNHEALTHY, DEGRADED} if HEALTHY in healths.values() else {UNHEALTHY}
    return frozenset(version for version, health in healths.items() if health in worse)


def write(root: Path, origin: Origin) -> None:
    """Keep `origin`, durably: all of it, or what was there before. The lock of the version is held."""
    _write(record_path(root, origin.name, origin.version), origin)


def is_ours(root: Path, name: str, version: str | None, path: Path) -> bool:
    """Say whether `path` is a tree that we installed: it lies where we put them and has our record."""
    return path == root / key(name, version) and os.path.lexists(path) and read(root, name, version) is not None


def was_ours(root: Path, called: str) -> bool:
    """Say whether we noted anything of what lies, or lay, at `called`: its record may be gone, or damaged."""
    notes = (f"{called}{suffix}" for suffix in (".json", ".files", f"{_NEXT}.json", f"{_NEXT}.files"))
    return any(os.path.lexists(root / RECORDS / name) for name in notes)


def forget(root: Path, called: str) -> None:
    """Drop the record of a version that is no longer installed."""
    for suffix in (".json", ".files", ".found"):
        (root / RECORDS / f"{called}{suffix}").unlink(missing_ok=True)


def _load(path: Path) -> Origin | None:
    try:
        document = json.loads(path.read_bytes())
        # What a later version noted besides costs us nothing.
        return Origin(**{name: value for name, value in document.items() if name in _FIELDS})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _write(path: Path, origin: Origin) -> None:
    aside = path.with_name(f"{path.name}{_ASIDE}")
    with aside.open("w") as file:
        json.dump(asdict(origin), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def _inode(path: Path) -> int:
    """Return the inode of `path`, or -1 if there is none: no record has that."""
    try:
        return os.lstat(path).st_ino
    except OSError:
        return -1
