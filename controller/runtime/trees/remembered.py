"""What a version held before it was made again or removed, so that another content under its name is noticed.

    ROOT/.runwright/NAME-VERSION.digest     the content that this version is to have

Written when a tree is about to be replaced or to go, and not before: a version that was installed once needs no
memory. What is remembered is the first content of a declaration, until a person accepts another; a version that is
made of something else than before begins anew. It outlives the version, and the Runtime.
Invariant: what is remembered is never changed by what is made again from the same declaration.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from controller.linux.bounded import read_bounded
from controller.runtime.trees import origin
from controller.runtime.trees.origin import Origin

_MOST_BYTES = 1 << 16
_ASIDE = ".new"


@dataclass(frozen=True, slots=True)
class Remembered:
    """The content `digest` of a version, `since` when it was there, and what it was made from."""

    kind: str
    fingerprint: str
    digest: str
    since: str

    def is_of(self, record: Origin) -> bool:
        """Whether the tree of `record` was to be the same: it was made from the same declaration."""
        return (self.kind, self.fingerprint) == (record.kind, record.fingerprint)

    def differs(self, record: Origin) -> bool:
        """Whether the tree of `record` was to be the same and is not."""
        return self.is_of(record) and bool(record.digest) and record.digest != self.digest


def path_of(root: Path, name: str, version: str | None) -> Path:
    """Return where it is kept."""
    return root / origin.RECORDS / f"{origin.key(name, version)}.digest"


def read(root: Path, name: str, version: str | None) -> Remembered | None:
    """Return what is remembered of a version; None if nothing is, or nothing that can be read."""
    try:
        document = json.loads(read_bounded(path_of(root, name, version), _MOST_BYTES))
        found = Remembered(**document)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return found if all(isinstance(text, str) for text in asdict(found).values()) else None


def keep(root: Path, record: Origin) -> None:
    """Remember the content of a tree that is about to be replaced or to go. The lock of the version is held."""
    known = read(root, record.name, record.version)
    if not record.digest or (known is not None and known.is_of(record)):
        return
    kept = Remembered(record.kind, record.fingerprint, record.digest, record.installed_at)
    path = path_of(root, record.name, record.version)
    aside = path.with_name(f"{path.name}{_ASIDE}")
    with aside.open("w") as file:
        json.dump(asdict(kept), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def accept(root: Path, name: str, version: str) -> None:
    """Have what is there be what this version is to hold. The lock of the version is held."""
    path_of(root, name, version).unlink(missing_ok=True)
