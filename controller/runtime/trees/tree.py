"""What runtimes lie under the runtime root, in any of the four layouts that were ever written.

    python/python-3.11-ml/runtime.yml        by language, with or without a version
    python-3.11-ml/runtime.yml               flat, of no known version
    python-3.11-ml-1.3.2/runtime.yml         flat and versioned: the one that we write
    python-3.11-ml/1.3.2/runtime.yml         name and version

Reads only. Never here: choosing between them (`resolve.py`), and remembering what was read (`scans.py`).
Invariant: nothing found makes a scan fail; what cannot be used is listed with its reasons.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from stat import S_ISREG

from api import runtime_spec
from api.packages import runtime_yaml, yaml_nodes
from api.packages.manifest import InvalidManifest, Manifest, Mount
from controller.engine.errors import TransientError
from controller.linux import openat2
from controller.linux.openat2 import Resolve

MANIFEST = "runtime.yml"
VERSIONS_LOCK = "versions.lock"
"""The packages of a tree that was built, beside its runtime.yml; written by `build/lock.py`."""

_BENEATH = Resolve.BENEATH | Resolve.NO_MAGICLINKS


@dataclass(frozen=True, slots=True)
class InstalledRuntime:
    """A tree under the runtime root. `version` is the package's, from its directory; None if it has none.

    It can be used when it has no `problems`; `warnings` are what its author should know. A directory
    without a runtime.yml is listed, so that somebody sees it, and is nothing otherwise.
    """

    name: str
    version: str | None
    path: Path
    manifest: Manifest | None = None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    has_manifest: bool = True

    @property
    def is_valid(self) -> bool:
        """Whether jobs can use it."""
        return not self.problems

    @property
    def spec(self) -> str:
        """The runtime spec that names exactly this one."""
        return f"{self.name}@{self.version}" if self.version else self.name


Look = Callable[[str, str | None], InstalledRuntime]
"""Returns what a directory is; the name of the one above where that is the runtime's name."""


def scan(root: Path, look: Look | None = None) -> tuple[InstalledRuntime, ...]:
    """Return every runtime under `root`, broken ones too, by name, then version. No root, no runtimes.

    `look` is asked for each, in the place of `inspect`.

    Raises:
        TransientError: RuntimeRootUnavailable, `root` cannot be read.
    """
    looking = look or _inspected
    found = [runtime for directory in _top(root) for runtime in _scan_top(directory, looking)]
    # What was removed while we looked is gone, not broken.
    there = [runtime for runtime in found if runtime.is_valid or os.path.lexists(runtime.path)]
    return tuple(sorted(there, key=by_version))


def claiming(root: Path, name: str, version: str) -> tuple[InstalledRuntime, ...]:
    """Return the trees under `root`, broken ones too, that are this version by where they lie: a quick look.

    Raises:
        TransientError: RuntimeRootUnavailable, `root` cannot be read.
    """
    called = f"{name}-{version}"
    flat = root / called
    found = [inspect(flat)] if _has_manifest(str(flat)) and not flat.is_symlink() else []
    places = [(above, f"{above}/{called}") for above in _top(root)]
    places.append((f"{root}/{name}", f"{root}/{name}/{version}"))
    found += [_scan_below(above, path, _inspected) for above, path in places if _is_a_runtime(above, path)]
    return tuple(runtime for runtime in found if (runtime.name, runtime.version) == (name, version))


def by_version(runtime: InstalledRuntime) -> tuple[str, object, str]:
    """Return a sort key: by name, then version, lowest first and those of no version before it."""
    try:
        return runtime.name, runtime_spec.version_order(runtime.version), str(runtime.path)
    except ValueError:
        return runtime.name, runtime_spec.version_order(None), str(runtime.path)


def inspect(path: Path, parent_name: str | None = None, directory: str | None = None) -> InstalledRuntime:
    """Return the runtime whose tree is `path`, judged as if it lay in `directory` where that is given.

    `parent_name` is the name of the directory above where that is the runtime's name.
    """
    return judged(read(path, parent_name, directory))


def read(path: Path, parent_name: str | None = None, directory: str | None = None) -> InstalledRuntime:
    """Return what the runtime.yml of a tree says, as `inspect` does, and nothing of what its mounts lead to."""
    called = path.name if directory is None else directory
    try:
        manifest = runtime_yaml.load(_read_manifest(path))
    except InvalidManifest as error:
        name, version = _name_by_directory(called, parent_name)
        return InstalledRuntime(name, version, path, None, tuple(f"{MANIFEST}:{p}" for p in error.problems))
    except OSError as error:
        name, version = _name_by_directory(called, parent_name)
        return InstalledRuntime(name, version, path, None, (f"cannot read {MANIFEST}: {error.strerror}",))
    name, version, mismatch = _identify(called, parent_name, manifest)
    told = tuple(f"{MANIFEST}:{warning}" for warning in manifest.warnings)
    return InstalledRuntime(name, version, path, manifest, mismatch, told)


def judged(found: InstalledRuntime) -> InstalledRuntime:
    """Return what was `read` with what there is to say of its mounts, which are looked at now."""
    if found.manifest is None:
        return found
    try:
        missing, warnings = check_mounts(found.path, found.manifest.mounts)
    except OSError as error:
        missing, warnings = (f"cannot read it: {error.strerror}",), ()
    if not missing and not warnings:
        return found
    return replace(found, problems=found.problems + missing, warnings=found.warnings + warnings)


def check_mounts(path: Path, mounts: tuple[Mount, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is wrong with `mounts` in the tree `path`, and what is merely missing from selective ones.

    A source must exist and stay in the tree, symbolic links followed.
    """
    problems, warnings = [], []
    tree = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for mount in mounts:
            if why := _why_unreachable(tree, mount.source):
                problems.append(f"cannot mount {mount.source} at {mount.target}: {why}")
                continue
            warnings += [
                f"cannot show {name} of {mount.source} at {mount.target}: {why}"
                for name in mount.selective
                if (why := _why_unreachable(tree, f"{mount.source}/{name}"))
            ]
    finally:
        os.close(tree)
    return tuple(problems), tuple(warnings)


def _why_unreachable(tree_fd: int, path: str) -> str:
    try:
        os.close(openat2.open_in_root(tree_fd, path, os.O_PATH, resolve=_BENEATH))
    except OSError as error:
        if error.errno == errno.EXDEV:
            return "it leads out of the tree of the runtime"
        return "it is not in the tree" if error.errno == errno.ENOENT else str(error.strerror)
    return ""


def _inspected(path: str, parent_name: str | None) -> InstalledRuntime:
    return inspect(Path(path), parent_name)


def _top(root: Path) -> list[str]:
    """Return the directories under `root`; none if it is not there."""
    try:
        return _directories(str(root))
    except FileNotFoundError:
        return []
    except OSError as error:
        message = f"cannot read the runtime root {root}: {error.strerror}: make it a directory that we can read"
        raise TransientError("RuntimeRootUnavailable", message) from error


def _is_a_runtime(above: str, path: str) -> bool:
    """Whether `path` is a runtime one level down, so `above` is none and no link."""
    return _has_manifest(path) and not (os.path.islink(above) or _has_manifest(above))


def _scan_top(path: str, look: Look) -> list[InstalledRuntime]:
    """Return the runtimes at `path`: itself, or those one level down."""
    if os.path.islink(path):
        return [_unusable(path, "it is a symbolic link: put the tree itself here")]
    if _has_manifest(path):
        return [look(path, None)]
    try:
        below = _directories(path)
    except OSError as error:
        return [_unusable(path, f"cannot read it: {error.strerror}")]
    if not any(_has_manifest(child) for child in below):
        return [replace(_unusable(path, f"no {MANIFEST} in it: remove it"), has_manifest=False)]
    return [_scan_below(path, child, look) for child in below]


def _scan_below(parent: str, path: str, look: Look) -> InstalledRuntime:
    called = os.path.basename(path)
    parent_name = os.path.basename(parent) if runtime_spec.is_version(called) else None
    if os.path.islink(path) or not _has_manifest(path):
        name, version = _name_by_directory(called, parent_name)
        why = (f"no {MANIFEST} in it: remove it, or install it again",)
        return InstalledRuntime(name, version, Path(path), None, why, has_manifest=_has_manifest(path))
    return look(path, parent_name)


def _unusable(path: str, why: str) -> InstalledRuntime:
    name, version = runtime_spec.split_directory(os.path.basename(path))
    return InstalledRuntime(name, version, Path(path), None, (why,))


def _identify(directory: str, parent_name: str | None, manifest: Manifest) -> tuple[str, str | None, tuple[str, ...]]:
    """Return name, version and what is wrong with them: the directory must be the manifest's name, plus a version."""
    if parent_name is not None:
        name, version, matches = parent_name, directory, manifest.name == parent_name
    elif manifest.name == directory:
        name, version, matches = directory, None, True
    else:
        version = directory.removeprefix(f"{manifest.name}-")
        matches = version != directory and runtime_spec.is_version(version)
        name, version = (manifest.name, version) if matches else runtime_spec.split_directory(directory)
    try:
        runtime_spec.check_name(name)
    except runtime_spec.SpecError as error:
        return name, version, (str(error),)
    if matches:
        return name, version, ()
    said = runtime_spec.shortened(manifest.name)
    return name, version, (f'{MANIFEST} says name "{said}", its directory "{directory}": make them agree',)


def _name_by_directory(directory: str, parent_name: str | None) -> tuple[str, str | None]:
    return runtime_spec.split_directory(directory) if parent_name is None else (parent_name, directory)


def _has_manifest(path: str) -> bool:
    return os.path.lexists(f"{path}/{MANIFEST}")


def _read_manifest(path: Path) -> bytes:
    """Read the runtime.yml of the tree, never through a link and never from a pipe."""
    descriptor = os.open(path / MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return file.read(yaml_nodes.MAX_BYTES + 1)


def _directories(path: str) -> list[str]:
    """Return what looks like directories in `path`, links to some included, ours and hidden ones not."""
    with os.scandir(path) as entries:
        return sorted(entry.path for entry in entries if entry.is_dir() and not entry.name.startswith("."))
