"""Where an installed version came from: a small record beside the trees, and where all our own files lie.

    ROOT/NAME-VERSION/                      a tree
    ROOT/.runwright/NAME-VERSION.json       its origin
    ROOT/.runwright/NAME-VERSION.lock       held while it is installed or removed
    ROOT/.staging/NAME-VERSION/             a tree on its way in or out

Invariant: a tree that we installed has its record before it can be seen.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

RECORDS = ".runwright"
STAGING = ".staging"


@dataclass(frozen=True, slots=True)
class Origin:
    """What was installed from where. `sha256` and `archive_bytes` are the archive's."""

    name: str
    version: str
    registry: str
    url: str
    sha256: str
    archive_bytes: int
    entries: int
    expanded_bytes: int
    installed_at: str


def key(name: str, version: str | None) -> str:
    """Return what the directory of this version is called."""
    return f"{name}-{version}" if version else name


def record_path(root: Path, name: str, version: str | None) -> Path:
    """Return where the record of this version is kept."""
    return root / RECORDS / f"{key(name, version)}.json"


def read(root: Path, name: str, version: str | None) -> Origin | None:
    """Return the record of an installed version, or None if we did not install it."""
    try:
        document = json.loads(record_path(root, name, version).read_bytes())
        return Origin(**document)
    except (OSError, ValueError, TypeError):
        return None


def write(root: Path, origin: Origin) -> None:
    """Keep `origin`, durably: all of it, or what was there before."""
    path = record_path(root, origin.name, origin.version)
    aside = path.with_suffix(".new")
    with aside.open("w") as file:
        json.dump(asdict(origin), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def is_ours(root: Path, name: str, version: str | None, path: Path) -> bool:
    """Say whether `path` is a tree that we installed: it lies where we put them and has our record."""
    return path == root / key(name, version) and os.path.lexists(path) and read(root, name, version) is not None


def forget(root: Path, key: str) -> None:
    """Drop the record of a version that is no longer installed."""
    (root / RECORDS / f"{key}.json").unlink(missing_ok=True)
