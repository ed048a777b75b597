"""Every shared library that some programs and modules need, found as the loader finds them.

Looks where ld.so(8) looks: DT_RPATH or DT_RUNPATH of who asks, and of the program, ld.so.cache, the
default directories. Never here: LD_LIBRARY_PATH, which is this process's and not the program's.
Invariant: a library that cannot be found is an error, never left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from controller.runtime.binaries import elf, ldcache
from controller.runtime.binaries.elf import Elf

_CACHE = Path("/etc/ld.so.cache")
_DEFAULT = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")


class MissingLibrary(Exception):
    """A library that is needed is nowhere; the message says which and by whom."""


@dataclass(frozen=True, slots=True)
class Closure:
    """What must be there to load something: libraries by the name they are asked for, and the loaders."""

    libraries: dict[str, Path]
    interpreters: dict[str, Path]


@dataclass
class _Search:
    cache: dict[str, tuple[str, ...]]
    extra: tuple[str, ...]
    seen: dict[Path, Elf | None] = field(default_factory=dict)

    def read(self, path: Path) -> Elf | None:
        """Return what `path` needs, or None if it is not an ELF file."""
        if path not in self.seen:
            with path.open("rb") as file:
                begins_as_one = elf.is_elf(file.read(4))
                file.seek(0)
                self.seen[path] = elf.parse(file.read()) if begins_as_one else None
        return self.seen[path]

    def find(self, name: str, asking: Elf, asked_from: Path, program_paths: tuple[str, ...]) -> Path | None:
        own = asking.runpath or asking.rpath
        origin = str(asked_from.resolve().parent)
        directories = [path.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for path in own]
        candidates = [f"{directory}/{name}" for directory in (*directories, *program_paths, *self.extra)]
        candidates += self.cache.get(name, ())
        candidates += [f"{directory}/{name}" for directory in _DEFAULT]
        for candidate in map(Path, candidates):
            if candidate.is_file() and (found := self.read(candidate)) is not None and found.kind == asking.kind:
                return candidate
        return None


def closure(paths: Iterable[Path], extra_directories: Iterable[Path] = (), cache_file: Path = _CACHE) -> Closure:
    """Return all that the ELF files among `paths` need, and what that needs; others need nothing.

    Raises:
        MissingLibrary: something needed is not on this machine.
    """
    cache = ldcache.parse(cache_file.read_bytes()) if cache_file.exists() else {}
    search = _Search(cache, tuple(map(str, extra_directories)))
    libraries: dict[str, Path] = {}
    interpreters: dict[str, Path] = {}
    left: list[tuple[Path, tuple[str, ...]]] = [(path, ()) for path in paths]
    while left:
        path, program_paths = left.pop()
        found = search.read(path)
        if found is None:
            continue
        if found.interpreter:
            interpreters[found.interpreter] = Path(found.interpreter)
            program_paths = found.runpath or found.rpath
        for name in found.needed:
            if name in libraries:
                continue
            library = search.find(name, found, path, program_paths)
            if library is None:
                raise MissingLibrary(f"cannot find {name}, which {path} needs: install the package that has it")
            libraries[name] = library
            left.append((library, program_paths))
    return Closure(libraries, interpreters)
