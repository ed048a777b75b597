"""A runtime's tree as a job sees it: paths inside the sandbox to files of the tree, symbolic links followed inside.

Reads only. Invariant: no path leads out of the tree: what is not in it, by its mounts, is not there.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from api.packages.manifest import Manifest, Mount

_MAX_LINKS = 40


@dataclass(frozen=True, slots=True)
class Seen:
    """A regular file of the tree: where a job sees it, links followed, and where it lies."""

    inside: str
    path: Path


class View:
    """What a job in a runtime can see of its tree."""

    def __init__(self, tree: Path, manifest: Manifest) -> None:
        """Look at `tree` through the mounts of `manifest`."""
        self._tree = tree
        # The deepest mount is the one that is seen.
        self._mounts = sorted(manifest.mounts, key=lambda mount: mount.target.count("/"), reverse=True)

    def find(self, path: str) -> Seen | None:
        """Return the regular file at `path`, absolute inside the sandbox, or None if there is none."""
        done = "/"
        left = [part for part in path.split("/") if part not in ("", ".")]
        links = 0
        while left:
            part = left.pop(0)
            if part == "..":
                done = os.path.dirname(done)
                continue
            at = os.path.join(done, part)
            place = self._place(at)
            target = _link_target(place)
            if target is None:
                done = at
                continue
            links += 1
            if links > _MAX_LINKS:
                return None
            left = [word for word in target.split("/") if word not in ("", ".")] + left
            done = "/" if target.startswith("/") else done
        place = self._place(done)
        return Seen(done, place) if place is not None and _is_file(place) else None

    def files(self) -> Iterator[Seen]:
        """Yield every regular file that jobs see, each under each place that it is seen at; links are not followed."""
        real = self._tree.resolve()
        for mount in self._mounts:
            roots = [f"{mount.source}/{name}" for name in mount.selective] or [mount.source]
            for root in roots:
                inside = mount.target + root[len(mount.source) :]
                if not (self._tree / root).resolve().is_relative_to(real):
                    continue  # By way of a link to something of the host.
                for seen in _walk(self._tree / root, inside):
                    if self._place(seen.inside) == seen.path:  # Else another mount covers it.
                        yield seen

    def _place(self, path: str) -> Path | None:
        """Return where `path` lies, no link followed in its last part; None where no mount brings it."""
        for mount in self._mounts:
            if path == mount.target:
                return self._tree / mount.source
            if path.startswith(mount.target + "/"):
                rest = path[len(mount.target) + 1 :]
                if _shows(mount, rest):
                    return self._tree / mount.source / rest
        return None


def _shows(mount: Mount, rest: str) -> bool:
    return not mount.selective or rest.partition("/")[0] in mount.selective


def _walk(path: Path, inside: str) -> Iterator[Seen]:
    if _is_file(path):
        yield Seen(inside, path)
        return
    for directory, _, names in os.walk(path):
        below = inside + directory[len(str(path)) :]
        for name in names:
            found = Path(directory, name)
            if _is_file(found):
                yield Seen(f"{below}/{name}", found)


def _link_target(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return os.readlink(path)
    except OSError:
        return None


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
