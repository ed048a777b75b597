"""A tree made of the trees of other runtimes, and more: their files are linked, never copied.

Where two have one file, the later one's is taken; where one has a directory and another a file or a link, they do not
go together. Never here: what the runtime.yml says (`compose.py`), which trees are meant (`sources.py`).
Invariant: nothing is written through a link, no parent's file is changed, and none is taken that was changed.
"""

import base64
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from stat import S_ISDIR, S_ISLNK
from typing import TYPE_CHECKING

from api.meta import Document
from api.packages.manifest import Manifest
from api.types.runtime import RuntimeReason
from api.types.runtime_sources import BuildFile, ExtendsSource
from controller.engine.errors import TerminalError, TransientError
from controller.registry import platforms
from controller.runtime.archives.download import Progress
from controller.runtime.sources import compose
from controller.runtime.sources.compose import Parent
from controller.runtime.trees import tree
from controller.runtime.trees.inventory import Inventory
from controller.runtime.trees.source import LogLine, Made, fresh_directory

if TYPE_CHECKING:
    from controller.runtime.trees.install import Host


@dataclass(frozen=True, slots=True)
class Layer:
    """An installed runtime that others are made of: what it is called, where its tree is, what is in it."""

    spec: str
    path: Path
    digest: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Composition:
    """Implements `source.TreeSource` for spec.extends: `layers` are the trees, in the order in which they are named."""

    name: str
    version: str
    extends: ExtendsSource
    layers: tuple[Layer, ...]

    @property
    def kind(self) -> str:
        """What kind of source it is."""
        return "extends"

    @property
    def offered_by(self) -> str:
        """Nobody: it is made here."""
        return ""

    @property
    def fingerprint(self) -> str:
        """What is asked for and what it is made of: another content of a parent makes another tree."""
        made_of = [[layer.spec, layer.digest] for layer in self.layers]
        text = json.dumps([self.extends.to_document(), made_of], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def size_bytes(self) -> int | None:
        """Nothing is downloaded."""
        return None

    def refuse(self, platform: str) -> str:
        """Say why it cannot be used on `platform`; empty if it can."""
        wanted = self.extends.requirements.architectures
        machine = platform.rpartition("-")[2]
        if wanted and machine not in {platforms.architecture(name) for name in wanted}:
            return f"{self.name}@{self.version}: it is made for {', '.join(wanted)}, not for {machine}"
        return ""

    def make(self, staging: Path, host: "Host", progress: Progress | None, log: LogLine) -> Made:
        """Link the trees of all into one, then add what is its own."""
        payload = fresh_directory(staging / "tree")
        parents = tuple(Parent(layer.spec, layer.manifest) for layer in self.layers)
        document = compose.document(self.name, self.extends, parents)
        entries = 0
        digests: dict[str, bytes] = {}
        for layer in self.layers:
            log(f"linking {layer.spec}")
            if progress is not None:
                progress(0, None)
            stock = Inventory.of(host, layer.spec, layer.path, layer.digest)
            entries += _Linking(payload, layer, stock, digests).run()
        for file in self.extends.files:
            digests.pop(_put(payload, file, document), None)
        (payload / tree.MANIFEST).write_text(json.dumps(document, indent=1) + "\n")
        return Made(payload, entries=entries, digests=digests)


@dataclass(frozen=True, slots=True)
class _Linking:
    """One parent's tree on its way into the child's; `digests` gets those of its files."""

    payload: Path
    layer: Layer
    stock: Inventory
    digests: dict[str, bytes]

    def run(self) -> int:
        """Link everything in it but what says what it is; return how many entries there were."""
        try:
            count = self._directory("")
        except FileNotFoundError as error:
            raise _gone(self.layer, f"{error.filename} is gone") from error
        self.stock.complete()
        return count

    def _directory(self, below: str) -> int:
        count = 0
        with os.scandir(self.layer.path / below) as entries:
            for entry in entries:
                path = f"{below}/{entry.name}" if below else entry.name
                if path in (tree.MANIFEST, tree.VERSIONS_LOCK):
                    self.stock.file(path, self.layer.path / path)
                    continue
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    self.stock.directory(path)
                    self._make_directory(path)
                    count += self._directory(path)
                else:
                    self._make_file(path, is_link=entry.is_symlink())
        return count

    def _make_directory(self, path: str) -> None:
        there = _mode(self.payload / path)
        if there is None:
            (self.payload / path).mkdir()
        elif not S_ISDIR(there):
            raise self._refused(path, "a directory", there)

    def _make_file(self, path: str, *, is_link: bool) -> None:
        source, target = self.layer.path / path, self.payload / path
        there = _mode(target)
        if there is not None and S_ISDIR(there):
            raise self._refused(path, "a link" if is_link else "a file", there)
        if there is not None:
            target.unlink()
        if is_link:
            target.symlink_to(os.readlink(source))
            self.stock.link(path, os.readlink(target))
            return
        try:
            os.link(source, target, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:  # As many names as a file can have, or another file system.
            shutil.copy2(source, target, follow_symlinks=False)
        self.digests[path] = bytes.fromhex(self.stock.file(path, target))

    def _refused(self, path: str, what: str, there: int) -> TerminalError:
        before = "a directory" if S_ISDIR(there) else "a link" if S_ISLNK(there) else "a file"
        why = f"{path} is {what} in {self.layer.spec} and {before} in a runtime before it: leave one of them out"
        return _invalid(why)


def _put(payload: Path, file: BuildFile, document: Document) -> str:
    """Write a file of the child's own where jobs see it at its path; return where that is in the tree."""
    inside = _inside(file.path, document)
    target = payload
    for part in PurePosixPath(inside).parts[:-1]:
        target /= part
        there = _mode(target)
        if there is None:
            target.mkdir()
        elif not S_ISDIR(there):
            raise _invalid(f"cannot put {file.path}: {target.relative_to(payload)} is no directory: use its real path")
    target /= PurePosixPath(inside).name
    there = _mode(target)
    if there is not None and S_ISDIR(there):
        raise _invalid(f"cannot put {file.path}: it is a directory")
    if there is not None:
        target.unlink()  # Never written in place: it is a parent's too.
    content = file.text.encode() if file.text is not None else base64.b64decode(file.base64 or "")
    target.write_bytes(content)
    target.chmod(0o755 if file.mode & 0o111 else 0o644)
    return str(target.relative_to(payload))


def _inside(path: str, document: Document) -> str:
    """Return where in the tree is what jobs see at `path`."""
    for mount in sorted(document.get("mounts", ()), key=lambda m: len(m["target"]), reverse=True):
        target = mount["target"].rstrip("/")
        if path == target or path.startswith(f"{target}/"):
            shown = path.removeprefix(target).lstrip("/")
            if shown and mount.get("selective") and shown.split("/")[0] not in mount["selective"]:
                raise _invalid(f"cannot put {path}: the mount at {target} does not show it: name it in its selective")
            return f"{mount['source']}/{shown}" if shown else str(mount["source"])
    raise _invalid(f"cannot put {path}: nothing is mounted there: add a mount to spec.extends.mounts")


def _mode(path: Path) -> int | None:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None


def _gone(layer: Layer, why: str) -> TransientError:
    return TransientError(RuntimeReason.PARENT_NOT_READY, f"cannot use {layer.spec}: {why}: it is asked for again")


def _invalid(why: str) -> TerminalError:
    return TerminalError(RuntimeReason.INVALID_COMPOSITION, f"cannot put the runtimes together: {why}")
