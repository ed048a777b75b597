"""What all sources of trees have in common: registries, archives, recipes, builds and compositions fill a directory.

Here: the contract between `install.py`, which stages, checks, stores and activates, and those who fill.
Invariant: a source writes below the staging directory that it is given and nowhere else on the host, but for caches.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from api.packages.manifest import NO_ENVIRONMENT, Manifest
from api.types.runtime_sources import BuildLimits
from controller.runtime.archives.download import Progress
from controller.runtime.archives.seen import Digests

if TYPE_CHECKING:
    from controller.runtime.trees.install import Host
    from controller.runtime.trees.origin import Origin

LogLine = Callable[[str], None]
"""Called with one line of what a build says."""


@dataclass(frozen=True, slots=True)
class Made:
    """A tree that was made. `payload` is its root, the staging directory that was given or below it.

    `sha256` and `archive_bytes` are of the archive that it came from, if it came from one.
    `scripted`: what is in it is what a script made of that archive.
    `loose` are inputs that are bound to no one content though they have a version and a hash, `scripts` packages that
    ran a script of theirs when they were installed; for a person.
    `digests` are the sha256 of its regular files by path relative to `payload`, as far as the source knows
    them of the very bytes that it wrote; files that it leaves out are read again.
    """

    payload: Path
    url: str = ""
    sha256: str = ""
    archive_bytes: int = 0
    entries: int = 0
    expanded_bytes: int = 0
    scripted: bool = False
    loose: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    digests: Digests = field(default_factory=dict[str, bytes])


def fresh_directory(path: Path) -> Path:
    """Make the directory `path`, as a tree's has to be."""
    path.mkdir(mode=0o755)
    path.chmod(0o755)  # Whatever the umask is.
    return path


class TreeSource(Protocol):
    """How one version of one runtime is made. Frozen, compared by value: the same source is not tried again at once."""

    @property
    def name(self) -> str:
        """The runtime's name."""

    @property
    def version(self) -> str:
        """The exact version."""

    @property
    def kind(self) -> str:
        """The source's kind: registry, archive, recipe, build or extends."""

    @property
    def offered_by(self) -> str:
        """Who offers it, for messages: the name of a Registry, or empty."""

    @property
    def fingerprint(self) -> str:
        """What identifies the content that was asked for: a tree made from another fingerprint is made anew.

        Empty where the version alone identifies it, as in a registry, whose versions never change.
        """

    @property
    def size_bytes(self) -> int | None:
        """Bytes to be downloaded, if they are known: for the check of free space."""

    def refuse(self, platform: str) -> str:
        """Say why it cannot be used on `platform`, such as ubuntu-amd64, after "cannot install "; empty if it can."""

    def make(self, staging: Path, host: "Host", progress: Progress | None, log: LogLine) -> Made:
        """Fill the empty directory `staging`; return where the tree is in it. What is beside the tree goes with it.

        Raises:
            TransientError, TerminalError: it cannot be made; the caller removes `staging`.
        """


class RecipeMaker(Protocol):
    """Runs the recipe of a package, in whatever isolation builds have here."""

    def __call__(
        self,
        package: Path,
        name: str,
        version: str,
        staging: Path,
        log: LogLine,
        *,
        env: Mapping[str, str] = NO_ENVIRONMENT,
        resources: BuildLimits | None = None,
        tick: Callable[[], None] | None = None,
    ) -> Path:
        """Run the recipe in the directory `package`; return the tree it made, below the empty directory `staging`.

        Args:
            env: more variables for the script.
            resources: its limits and its time; None is the host's default.
            tick: called now and then while it runs; what it raises ends the recipe.

        Raises:
            TransientError, TerminalError: it failed.
        """


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Whether a tree works. `message` says what does not, or what was not looked at and why.

    One that is not healthy still `works` if all that was started did, and only libraries of other parts are lacking.
    """

    healthy: bool
    message: str = ""
    works: bool = False


class HealthLook(Protocol):
    """Looks whether a tree works, before anyone can use it."""

    def __call__(self, payload: Path, manifest: Manifest, source: TreeSource) -> HealthReport:
        """Return how the tree `payload`, made by `source`, is; it changes nothing in it.

        Raises:
            TransientError: it cannot be looked at now.
        """


@dataclass(frozen=True, slots=True)
class Bound:
    """Whether the same declaration would make the same content again: a RuntimeReason, and for a person why."""

    reason: str
    message: str


class BoundLook(Protocol):
    """Looks whether a tree is bound to one content by what it was made from."""

    def __call__(self, source: TreeSource, made: Made) -> Bound:
        """Return whether what `source` `made` is; it changes nothing in it."""


@runtime_checkable
class Offered(Protocol):
    """A source whose offer can be held against what was installed of it."""

    def changed_since(self, known: "Origin") -> str:
        """Say how what is offered is not any more what was installed as this version; empty if it is."""
