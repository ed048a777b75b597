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
from controller.runtime.build import (
    beneath,
    carry,
    debian,
    environment,
    key_store,
    lock,
    manifest_text,
    python_packages,
    python_runtime,
    supply,
    wanted_paths,
)
from controller.runtime.build.commands import BUILD_FAILED, Bench, Command
from controller.runtime.build.language import LANGUAGES
from controller.runtime.build.lock import Fetched, Package
from controller.runtime.build.manifest_text import Description
from controller.runtime.build.node_packages import LEFT_BEHIND
from controller.runtime.build.roots import Root
from controller.runtime.trees.tree import MANIFEST

_PYTHON = re.compile(r"python3\.[0-9]+")
_PROGRAM = re.compile(r"[\w.+\[-]+")
_PYTHON_PLACES = ("usr/local/bin", "usr/bin")
_MOST_SHOWN = 5
_KEY_STORE = "etc/ssl/certs/java/cacerts"
_WRITTEN = ("usr/bin", "usr/sbin", "usr/lib", "usr/local/bin", "usr/local/lib", "var/cache/ldconfig", "etc", _KEY_STORE)
"""Where this module itself reads and writes by path."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, as far as the description of the tree needs it. `base` is the runtime it began with.

    `inherited` is what that runtime's versions.lock says; `python` and `node` what pip and npm said.
    """

    name: str
    version: str
    build: BuildSource
    platform: str
    base: Manifest | None
    python: Fetched
    node: Fetched
    inherited: Mapping[str, tuple[Package, ...]] = field(default_factory=dict)


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
    _write(payload / MANIFEST, manifest_text.text(payload, _about(root, tree, asked)))
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
    places = [f"{place}/{name}" for place in _PYTHON_PLACES for name in _names_unless_link(tree, place)]
    return [f"/{path}" for path in places if _PYTHON.fullmatch(path.rpartition("/")[2]) and beneath.is_file(tree, path)]


def _names_unless_link(tree: Path, path: str) -> list[str]:
    """Return what is in the directory `path`; nothing where it is behind a link, which is nobody's to follow."""
    try:
        return beneath.names(tree, path)
    except TerminalError:
        return []


def _add_stubs(tree: Path, asked: Asked) -> None:
    """Add the small files that jobs have their own of, so that there is something to mount them on."""
    beneath.made_directory(tree, "etc")
    texts = {**python_runtime.FILES, "etc/runtime-version": f"{asked.name}@{asked.version}\n"}
    for path, text in texts.items():
        if beneath.status(tree, path) is None:
            beneath.made_directory(tree, path.rpartition("/")[0])
            beneath.write(tree, path, text.encode())
    version = asked.build.base.version or ""
    if asked.build.base.language == "python" and _interpreters(tree):
        for name in ("python3", "python"):
            _call(tree, name, interpreter(tree, version))
    if asked.build.base.language == "go":
        for release in _names_unless_link(tree, "usr/lib"):
            programs = f"usr/lib/{release}/bin"
            for name in _names_unless_link(tree, programs) if release.startswith("go-") else ():
                _call(tree, name, f"/{programs}/{name}")


def _call(tree: Path, name: str, program: str) -> None:
    """Have `program` called `name` too, if nothing else is called so."""
    local = "usr/local/bin"
    if any(beneath.status(tree, f"{place}/{name}") is not None for place in ("usr/bin", local)):
        return
    beneath.made_directory(tree, local)
    beneath.symlink(tree, f"{local}/{name}", program)


def _complete(bench: Bench, tree: Path, version: str) -> None:
    """Do in the finished tree what needs all of it: the loader's cache, bytecode, the links of a lonely busybox."""
    before = carry.look(tree)
    if beneath.is_file(tree, "usr/sbin/ldconfig"):
        bench.do("make the loader's cache", Command(("/usr/sbin/ldconfig", "-X"), root=tree))
        carry.refuse_links(tree, _WRITTEN)
        beneath.remove(tree, "var/cache/ldconfig/aux-cache")
    if _interpreters(tree):
        tops = tuple(f"/{top}" for top in _libraries(tree))
        python_packages.compile_all(bench, tree, interpreter(tree, version), tops)
        carry.refuse_links(tree, _WRITTEN)
    if beneath.is_file(tree, "usr/bin/busybox") and beneath.status(tree, "usr/bin/sh") is None:
        _link_busybox(bench, tree)
    if beneath.is_file(tree, _KEY_STORE):
        store = beneath.read(tree, _KEY_STORE)
        beneath.write(tree, _KEY_STORE, key_store.timeless(store, carry.FIXED_TIME))
    carry.settle(tree, before)


def _libraries(tree: Path) -> list[str]:
    return [
        f"{top}/{name}"
        for top in ("usr/lib", "usr/local/lib")
        for name in beneath.names(tree, top)
        if _PYTHON.fullmatch(name) or name == "python3"
    ]


def _link_busybox(bench: Bench, tree: Path) -> None:
    said = bench.ask("ask busybox what it can", Command(("/usr/bin/busybox", "--list"), root=tree))
    carry.refuse_links(tree, _WRITTEN)
    for line in said:
        name = line.strip()
        if _PROGRAM.fullmatch(name) and beneath.status(tree, f"usr/bin/{name}") is None:
            beneath.symlink(tree, f"usr/bin/{name}", "busybox")


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
        environment=_variables(tree, build, base),
        requirements=build.requirements,
        machine=machine,
        architecture=platforms.architecture(machine),
    )


def _lock(root: Root, payload: Path, asked: Asked, added: tuple[str, ...]) -> None:
    """Write versions.lock; `added` are the paths of libraries that came from packages otherwise not wanted."""
    tree, named = payload / ISOLATED, asked.build.base.language or ""
    debian_packages = _debian_packages(root, added)
    here = {package.name for package in debian_packages}
    read_back = {
        "debian_packages": debian_packages,
        "python_packages": lock.python_packages(tree, asked.python.hashes),
        "node_packages": lock.node_packages(tree, asked.node.hashes),
    }
    inherited = {group: asked.inherited.get(group, ()) for group in read_back}
    groups = {group: lock.with_hashes(packages, inherited[group]) for group, packages in read_back.items()}
    groups["debian_packages"] += tuple(each for each in inherited["debian_packages"] if each.name not in here)
    said = f"{named} {root.language_version}".strip() if named in LANGUAGES else ""
    _write(payload / lock.NAME, lock.text(asked.name, asked.version, asked.platform, said, groups))


def _short(named: str, version: str) -> str:
    """Return the version as jobs ask for it: python:3.11, java:17."""
    return ".".join(version.split(".")[: 1 if named in ("java", "node") else 2])


def _variables(tree: Path, build: BuildSource, base: Manifest | None) -> dict[str, str]:
    home = _java_home(tree) if build.base.language == "java" else ""
    inherited, prepended = (base.environment, base.path_prepend) if base else ({}, "")
    return environment.of_jobs(build, inherited, prepended, home)


def _java_home(tree: Path) -> str:
    machines = "usr/lib/jvm"
    real = [home for home in _names_unless_link(tree, machines) if _is_java(tree, f"{machines}/{home}")]
    return f"/{machines}/{real[-1]}" if real else ""


def _is_java(tree: Path, home: str) -> bool:
    return beneath.is_directory(tree, home) and "java" in _names_unless_link(tree, f"{home}/bin")


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
