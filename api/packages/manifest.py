"""What a runtime.yml says, once it has been read: plain data.

Never here: YAML (`runtime_yaml.py`) and the disk (`controller/runtime/trees/tree.py`).
Invariant: every source is relative without `..`, every target absolute, normalised and one that a runtime may take.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})
PACKAGE_TOOLS = frozenset({
    "bundler", "cargo", "composer", "conda", "go", "gradle", "maven", "npm", "nuget", "pip", "pipenv", "pnpm", "poetry",
    "uv", "yarn",
})  # fmt: skip
"""The package managers that can be told where to keep what they download."""

_SHARED = "shared:"
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a runtime.yml, and where; lines and columns count from 1, 0 is the whole file."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """Return it as compilers do: line, column, message."""
        return f"{self.line}:{self.column}: {self.message}" if self.line else self.message


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory or file of the tree that jobs see at `target`.

    `selective` names the entries of `source` that are shown; empty shows all. A mount that is not
    `readonly` is each job's own copy, never shared.
    """

    source: str
    target: str
    readonly: bool = True
    selective: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Requirements:
    """What the runtime needs of the host and of a job's limits."""

    min_memory_bytes: int | None = None
    recommended_memory_bytes: int | None = None
    architectures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackageManager:
    """The tool that installs packages, and the volume that it may keep its downloads in."""

    type: str
    cache_volume: str = ""

    @property
    def volume(self) -> str:
        """The volume's name, whoever shares it; empty for none."""
        return self.cache_volume.removeprefix(_SHARED)

    @property
    def is_shared(self) -> bool:
        """Whether the volume is that of all runtimes that name it so."""
        return self.cache_volume.startswith(_SHARED)

    @property
    def has_usable_name(self) -> bool:
        """Whether a volume can be called so."""
        return _VOLUME.fullmatch(self.volume) is not None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A runtime.yml. `version` is as its author wrote it, which is mostly the version of the language."""

    name: str
    mounts: tuple[Mount, ...]
    type: str = "system"
    version: str = ""
    description: str = ""
    language: str = ""
    language_version: str = ""
    environment: Mapping[str, str] = field(default_factory=lambda: NO_ENVIRONMENT)
    path_prepend: str = ""
    requirements: Requirements = Requirements()
    package_manager: PackageManager | None = None
    packages: tuple[str, ...] = ()
    warnings: tuple[Problem, ...] = ()


class InvalidManifest(ValueError):
    """A runtime.yml that cannot be used: all its problems, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """Keep `problems`, of which there is at least one."""
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems
