"""Taking entries out of an installed tree for another one: each is as it was installed, or the other is not made.

Never here: where they go (`composition.py`, `build/fill.py`), and healing, which the record of the tree asks for.
Invariant: what differs from the list of a tree gets into no further one, and the record of the tree says so.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from api.types.runtime import RuntimeReason
from controller.engine.errors import TransientError
from controller.runtime.trees import digest, locks, origin
from controller.runtime.trees.digest import Line
from controller.runtime.trees.origin import Origin
from controller.runtime.trees.verify import How, list_of

if TYPE_CHECKING:
    from controller.runtime.trees.install import Host


@dataclass(frozen=True, slots=True)
class _Known:
    """What is on record of the tree, where, and by whose clock it is noted that it differs."""

    host: "Host"
    record: Origin
    lines: Mapping[bytes, Line]


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the tree `path` of `spec`, NAME@VERSION, is listed to hold, and which of it was taken.

    Of a tree that others put there nothing is listed, and everything in it is believed; of one that we installed and
    that lost its record nothing is.
    """

    spec: str
    path: Path
    _known: _Known | None = None
    _taken: set[bytes] = field(default_factory=set)

    @classmethod
    def of(cls, host: "Host", spec: str, path: Path, tree_digest: str) -> "Inventory":
        """Return what the tree is listed to hold; `tree_digest` is what is expected of it.

        Raises:
            TransientError: ParentNotReady, it differs from what was installed, or is another one by now; RecordLost,
                it was installed, and nothing tells any more what it held.
        """
        name, _, version = spec.rpartition("@")
        if not origin.is_ours(host.root, name, version, path):
            place = host.root / origin.key(name, version)
            if path == place and os.path.lexists(path) and (tree_digest or origin.was_ours(host.root, place.name)):
                raise _record_lost(spec, path, origin.record_path(host.root, name, version))
            return cls(spec, path)
        record = origin.read(host.root, name, version)
        if record is None or record.digest != tree_digest:
            raise _not_ready(spec, "it was replaced meanwhile: it is looked at again")
        if record.drift:
            raise _not_ready(spec, f"{record.drift}: it is made of it when that is healed")
        if not record.digest:
            return cls(spec, path)
        listed = list_of(host.root, record)
        if listed is None:
            raise _not_ready(spec, f"nothing tells what it held when it was installed: rnx runtime verify {spec}")
        with listed.open("rb") as file:
            lines = {line.path: line for line in map(digest.parse, file)}
        return cls(spec, path, _Known(host, record, lines))

    def directory(self, path: str) -> None:
        """Take the directory `path`, relative to the tree."""
        self._listed(path, "d")

    def link(self, path: str, target: str) -> None:
        """Take the symbolic link `path`, which leads to `target`."""
        line = self._listed(path, "l")
        if line is not None and line.content != digest.link_target(os.fsencode(target)):
            self._refuse(path, "link")

    def file(self, path: str, taken: Path) -> str:
        """Take the file `path`, of which `taken` is a copy or a link; return its sha256.

        Raises:
            TransientError: ParentNotReady, it is not what was installed.
        """
        line = self._listed(path, "fx")
        found = digest.hash_file(os.fsencode(taken))
        if line is None:
            return found
        if found != line.content:
            self._refuse(path, "changed")
        if bool(os.lstat(self.path / path).st_mode & 0o111) != (line.kind == "x"):
            self._refuse(path, "mode")
        return found

    def missing(self, path: str) -> NoReturn:
        """Tell that `path` is not there."""
        self._refuse(path, "missing")

    def complete(self, below: Iterable[str] = ("",)) -> None:
        """Tell that everything `below` these paths was taken."""
        if self._known is None:
            return
        prefixes = tuple(os.fsencode(f"{path}/") if path else b"" for path in below)
        for path in self._known.lines:
            if path.startswith(prefixes) and path not in self._taken:
                self._refuse(os.fsdecode(path), "missing")

    def _listed(self, path: str, kinds: str) -> Line | None:
        if self._known is None:
            return None
        raw = os.fsencode(path)
        line = self._known.lines.get(raw)
        if line is None:
            self._refuse(path, "added")
        if line.kind not in kinds:
            self._refuse(path, "changed")
        self._taken.add(raw)
        return line

    def _refuse(self, path: str, how: How) -> NoReturn:
        drift = f"{path!r} is not as it was installed ({how})"
        if self._known is not None:
            self._note(self._known, drift)
        raise _not_ready(self.spec, f"{drift}: it is made of it when that is healed")

    def _note(self, known: _Known, drift: str) -> None:
        """Have the record say that the tree is to be healed, unless somebody is at it already."""
        root, before = known.host.root, known.record
        with suppress(TransientError), locks.exclusive(root, origin.key(before.name, before.version), wait=False):
            now = origin.read(root, before.name, before.version)
            if now is not None and (now.digest, now.inode) == (before.digest, before.inode):
                origin.settle(root, origin.key(before.name, before.version))
                origin.write(root, replace(now, verified_at=origin.at(known.host.clock.now()), drift=drift))


def _record_lost(spec: str, path: Path, record: Path) -> TransientError:
    why = f"its record {record} is gone, or cannot be read: nothing tells what {path} held when it was installed"
    fix = f"move that directory away, and it is installed again, then verify it: rnx runtime verify {spec}"
    return TransientError(RuntimeReason.RECORD_LOST, f"cannot use {spec}: {why}: {fix}")


def _not_ready(spec: str, why: str) -> TransientError:
    return TransientError(RuntimeReason.PARENT_NOT_READY, f"cannot use {spec}: {why}")
