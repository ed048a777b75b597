"""Whether every program and library of a runtime finds what it needs inside the runtime.

Looks where the loader looks: RPATH, RUNPATH, the runtime's LD_LIBRARY_PATH, its ld.so.cache, the default
directories. A library that is nowhere there, but elsewhere in the tree, counts as found: programs such as Java load
it themselves first, and by its name it serves all who need it.
Invariant: nothing of the host is looked at.
"""

import mmap
import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from api.packages.manifest import Manifest
from controller.linux.bounded import read_bounded
from controller.runtime.binaries import elf, ldcache
from controller.runtime.binaries.elf import Elf, NotElf
from controller.runtime.health.view import Seen, View

_DEFAULT = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")
_MULTIARCH = {62: "x86_64-linux-gnu", 183: "aarch64-linux-gnu"}  # By ELF machine. Source: elf.h, EM_X86_64, EM_AARCH64.
_CACHE = "/etc/ld.so.cache"
_LIBRARY_NAME = re.compile(r"lib.*\.so(\.|$)")
_SMALLEST = 52


@dataclass
class _Known:
    """What is known of a runtime's ELF files."""

    view: View
    library_path: tuple[str, ...]
    cache: dict[str, tuple[str, ...]] = field(default_factory=dict)
    elves: dict[Path, Elf | None] = field(default_factory=dict)
    anywhere: dict[str, set[tuple[int, int, int]]] = field(default_factory=lambda: defaultdict(set))


def missing(tree: Path, manifest: Manifest) -> tuple[str, ...]:
    """Return a sentence for each thing that an ELF file of the runtime needs and that is not in it."""
    view = View(tree, manifest)
    library_path = tuple(p for p in manifest.environment.get("LD_LIBRARY_PATH", "").split(":") if p)
    known = _Known(view, library_path)
    cache = view.find(_CACHE)
    if cache is not None:
        with suppress(OSError):  # What is no cache, or too large for one, no loader uses.
            known.cache = ldcache.parse(read_bounded(cache.path))
    found = [(seen, parsed) for seen in view.files() if (parsed := _read(known, seen.path)) is not None]
    for seen, parsed in found:
        for name in {parsed.soname, seen.path.name} - {""}:
            known.anywhere[name].add(parsed.kind)
    problems = [problem for seen, parsed in found for problem in _problems(known, seen, parsed)]
    return tuple(dict.fromkeys(problems))


def _problems(known: _Known, seen: Seen, parsed: Elf) -> list[str]:
    problems = []
    if parsed.interpreter and not _is_library(seen) and known.view.find(parsed.interpreter) is None:
        problems.append(f"{seen.inside} needs the loader {parsed.interpreter}, which is not in the runtime")
    problems += [
        f"{seen.inside} needs {name}, which is not in the runtime"
        for name in parsed.needed
        if not _resolves(known, seen, parsed, name)
    ]
    return problems


def _resolves(known: _Known, seen: Seen, parsed: Elf, name: str) -> bool:
    if parsed.kind in known.anywhere.get(name.rpartition("/")[2], ()):
        return True
    # By a link of another name than the file's and its soname: only a search can tell.
    return any(
        (found := known.view.find(candidate)) is not None
        and (library := _read(known, found.path)) is not None
        and library.kind == parsed.kind
        for candidate in _candidates(known, seen, parsed, name)
    )


def _candidates(known: _Known, seen: Seen, parsed: Elf, name: str) -> list[str]:
    if "/" in name:
        return [name]
    origin = seen.inside.rpartition("/")[0]
    own = [path.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for path in parsed.runpath or parsed.rpath]
    multiarch = _MULTIARCH.get(parsed.kind[2])
    default = [*_DEFAULT, *(f"{path}/{multiarch}" for path in ("/lib", "/usr/lib") if multiarch)]
    directories = [*own, *known.library_path, *default]
    return [*(f"{directory}/{name}" for directory in directories), *known.cache.get(name, ())]


def _read(known: _Known, path: Path) -> Elf | None:
    """Return what an ELF file needs; None for other files, and those that are too broken for any loader."""
    if path not in known.elves:
        known.elves[path] = _parse(path)
    return known.elves[path]


def _parse(path: Path) -> Elf | None:
    with path.open("rb") as file:
        if not elf.is_elf(file.read(4)) or file.seek(0, 2) < _SMALLEST:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return elf.parse(data)  # type: ignore[arg-type]  # It reads like bytes, without being read whole.
            except NotElf:
                return None


def _is_library(seen: Seen) -> bool:
    """Say whether it is a library that can also be run, such as libc: nobody has to."""
    return _LIBRARY_NAME.search(seen.path.name) is not None
