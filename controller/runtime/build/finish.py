"""The end of a build: what is wanted of its root becomes isolated/, is completed, checked and described.

Never here: what was installed into the root.
Invariant: what is described was read from the finished tree.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from api.packages.links import ISOLATED
from api.packages.manifest import Manifest
from api.types.runtime_sources import BuildSource
from controller.engine.errors import TerminalError
from controller.registry import platforms
from controller.runtime import python_runtime
from controller.runtime.build import (
    carry,
    debian,
    key_store,
    lock,
    manifest_text,
    python_packages,
    supply,
    wanted_paths,
)
from controller.runtime.build.commands import BUILD_FAILED, Bench, Command
from controller.runtime.build.language import LANGUAGES
from controller.runtime.build.lock import Package
from controller.runtime.build.manifest_text import Description
from controller.runtime.build.node_packages import LEFT_BEHIND
from controller.runtime.build.roots import Root

_PYTHON = re.compile(r"python3\.[0-9]+")
_PYTHON_PLACES = ("usr/local/bin", "usr/bin")
_MOST_SHOWN = 5
_KEY_STORE = "etc/ssl/certs/java/cacerts"
_WRITTEN = ("usr/bin", "usr/sbin", "usr/lib", "usr/local/bin", "usr/local/lib", "var/cache/ldconfig", _KEY_STORE)
"""Where this module itself reads and writes by path."""


@dataclass(frozen=True, slots=True)
class Hashes:
    """The hashes of what pip and npm installed, by name and by directory."""

    python: Mapping[str, str] = field(default_factory=dict)
    node: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, as far as the description of the tree needs it. `base` is the runtime it began with."""

    name: str
    version: str
    build: BuildSource
    platform: str
    base: Manifest | None
    hashes: Hashes


def finish(bench: Bench, root: Root, payload: Path, always: frozenset[str], asked: Asked) -> None:
    """Make the tree `payload` of what is wanted of `root`.

    Args:
        payload: an empty directory.
        always: paths that are carried whatever they are.

    Raises:
        TransientError, TerminalError: BuildFailed, the tree would not work.
    """
    tree = payload / ISOLATED
    tree.mkdir()
    tree.chmod(0o755)
    changed = carry.changed(root.before, carry.look(root.path)) - LEFT_BEHIND
    kept = root.timed - changed
    always |= {path for path in kept if "/__pycache__/" in path}  # Gathered with the host's Python, and compared again.
    carry.carry(root.path, tree, wanted_paths.carried(root.owned, changed, always), lambda path: path not in kept)
    carry.refuse_links(tree, _WRITTEN)
    _add_stubs(tree, asked)
    _complete(bench, tree, asked.build.base.version)
    _write(payload / "runtime.yml", manifest_text.text(payload, _about(root, tree, asked)))
    before = carry.look(tree)
    supplied = supply.supply(payload, root, asked.build.base.from_)
    carry.settle(tree, before)
    if supplied.missing:
        raise _missing(supplied.missing)
    _lock(root, payload, asked, supplied.added)


def interpreter(tree: Path, version: str) -> str:
    """Return the Python of `tree`, as it is called inside.

    Raises:
        TerminalError: BuildFailed, it has none.
    """
    found = _interpreters(tree)
    fitting = [path for path in found if not version or path.endswith(f"python{'.'.join(version.split('.')[:2])}")]
    if not (fitting or found):
        raise TerminalError(BUILD_FAILED, "cannot install Python packages: the tree has no Python: set base.language")
    return (fitting or found)[-1]


def _interpreters(tree: Path) -> list[str]:
    found = []
    for place in _PYTHON_PLACES:
        directory = tree / place
        if directory.is_dir() and not directory.is_symlink():
            found += [f"/{place}/{name}" for name in sorted(os.listdir(directory)) if _PYTHON.fullmatch(name)]
    return [path for path in found if (tree / path[1:]).is_file() and not (tree / path[1:]).is_symlink()]


def _add_stubs(tree: Path, asked: Asked) -> None:
    """Add the small files that jobs have their own of, so that there is something to mount them on."""
    etc = tree / "etc"
    etc.mkdir(exist_ok=True)
    etc.chmod(0o755)
    texts = {**python_runtime.FILES, "etc/runtime-version": f"{asked.name}@{asked.version}\n"}
    for path, text in texts.items():
        if not os.path.lexists(tree / path):
            _write(tree / path, text)
    version = asked.build.base.version or ""
    if asked.build.base.language == "python" and _interpreters(tree):
        for name in ("python3", "python"):
            _call(tree, name, interpreter(tree, version))
    if asked.build.base.language == "go":
        for program in sorted(tree.glob("usr/lib/go-*/bin/*")):
            _call(tree, program.name, f"/{program.relative_to(tree)}")


def _call(tree: Path, name: str, program: str) -> None:
    """Have `program` called `name` too, if nothing else is called so."""
    local = tree / "usr/local/bin"
    if os.path.lexists(tree / "usr/bin" / name) or os.path.lexists(local / name):
        return
    for directory in (tree / "usr/local", local):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
    (local / name).symlink_to(program)


def _complete(bench: Bench, tree: Path, version: str) -> None:
    """Do in the finished tree what needs all of it: the loader's cache, bytecode, the links of a lonely busybox."""
    before = carry.look(tree)
    if (tree / "usr/sbin/ldconfig").is_file():
        bench.do("make the loader's cache", Command(("/usr/sbin/ldconfig", "-X"), root=tree))
        _remove(tree / "var/cache/ldconfig/aux-cache")
    if _interpreters(tree):
        tops = tuple(f"/{top}" for top in _libraries(tree))
        python_packages.compile_all(bench, tree, interpreter(tree, version), tops)
    if (tree / "usr/bin/busybox").is_file() and not os.path.lexists(tree / "usr/bin/sh"):
        _link_busybox(bench, tree)
    store = tree / _KEY_STORE
    if store.is_file():
        store.write_bytes(key_store.timeless(store.read_bytes(), carry.FIXED_TIME))
    carry.settle(tree, before)


def _libraries(tree: Path) -> list[str]:
    found = []
    for top in ("usr/lib", "usr/local/lib"):
        if (tree / top).is_dir():
            names = sorted(os.listdir(tree / top))
            found += [f"{top}/{name}" for name in names if _PYTHON.fullmatch(name) or name == "python3"]
    return found


def _link_busybox(bench: Bench, tree: Path) -> None:
    for line in bench.do("ask busybox what it can", Command(("/usr/bin/busybox", "--list"), root=tree)):
        name = line.strip()
        if name and "/" not in name and not os.path.lexists(tree / "usr/bin" / name):
            (tree / "usr/bin" / name).symlink_to("busybox")


def _about(root: Root, tree: Path, asked: Asked) -> Description:
    build, base = asked.build, asked.base
    named = build.base.language or (base.language if base else "")
    language_version = root.language_version or (base.language_version if base else "")
    machine = os.uname().machine
    return Description(
        name=asked.name,
        version=asked.version,
        description=build.description or (base.description if base else ""),
        language=named if named in LANGUAGES else "",
        language_version=_short(named, build.base.version or language_version),
        environment=_environment(tree, build, base),
        requirements=build.requirements,
        machine=machine,
        architecture=platforms.architecture(machine),
    )


def _lock(root: Root, payload: Path, asked: Asked, added: tuple[str, ...]) -> None:
    """Write versions.lock; `added` are the paths of libraries that came from packages otherwise not wanted."""
    tree, named = payload / ISOLATED, asked.build.base.language or ""
    groups = {
        "debian_packages": _debian_packages(root, added),
        "python_packages": lock.python_packages(tree, asked.hashes.python),
        "node_packages": lock.node_packages(tree, asked.hashes.node),
    }
    said = f"{named} {root.language_version}".strip() if named in LANGUAGES else ""
    _write(payload / "versions.lock", lock.text(asked.name, asked.version, asked.platform, said, groups))


def _short(named: str, version: str) -> str:
    """Return the version as jobs ask for it: python:3.11, java:17."""
    return ".".join(version.split(".")[: 1 if named in ("java", "node") else 2])


def _environment(tree: Path, build: BuildSource, base: Manifest | None) -> dict[str, str]:
    found = dict(base.environment) if base else {}
    known = LANGUAGES.get(build.base.language or "")
    if known:
        found |= known.environment
        if known.path:
            found["PATH"] = f"{manifest_text.PATH}:{':'.join(known.path)}"
    if build.base.language == "java" and (home := _java_home(tree)):
        found["JAVA_HOME"] = home
    own = dict(build.environment)
    prepends = (own.pop("PATH_PREPEND", ""), base.path_prepend if base else "")
    if prepended := ":".join(part for part in prepends if part):
        found["PATH_PREPEND"] = prepended
    return found | own


def _java_home(tree: Path) -> str:
    homes = sorted((tree / "usr/lib/jvm").glob("*/bin/java"))
    real = [home for home in homes if home.is_file() and not home.parent.parent.is_symlink()]
    return f"/{real[-1].parent.parent.relative_to(tree)}" if real else ""


def _debian_packages(root: Root, added: tuple[str, ...]) -> tuple[Package, ...]:
    more = debian.owners(root.path, root.unpacked, added)
    debs = sorted({*root.debs, *more})
    return tuple(Package(deb.name, deb.version, _sha256(root.archives, deb.file), deb.architecture) for deb in debs)


def _sha256(archives: Path | None, name: str) -> str:
    if archives is None:
        return ""
    descriptor = os.open(archives / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _missing(missing: tuple[str, ...]) -> TerminalError:
    more = f" and {len(missing) - _MOST_SHOWN} more" if len(missing) > _MOST_SHOWN else ""
    shown = "; ".join(missing[:_MOST_SHOWN])
    return TerminalError(BUILD_FAILED, f"cannot use what was built: {shown}{more}: name their Debian package in apt")


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)
    os.utime(path, (carry.FIXED_TIME, carry.FIXED_TIME))


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
