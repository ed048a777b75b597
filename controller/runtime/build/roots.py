"""What a build begins with: a root of Debian packages, of this host's files, of another runtime's, or of several.

Where Debian packages come on top of something else, theirs are taken where both have a file.
Never here: what is installed into it afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from api.packages.links import ISOLATED
from api.packages.manifest import Manifest
from api.types.runtime_sources import BuildSource
from controller.engine.errors import TerminalError
from controller.runtime.build import carry, debian, fill, host_tree, language, node_packages, python_packages
from controller.runtime.build.apt import Deb, Versioned
from controller.runtime.build.carry import Marks
from controller.runtime.build.commands import BUILD_FAILED, Bench
from controller.runtime.build.debian import DebianRoot, NotOffered
from controller.runtime.trees.inventory import Inventory
from controller.runtime.trees.source import fresh_directory

DEBIAN, HOST = "debian", "host"


@dataclass(frozen=True, slots=True)
class Root:
    """A root: the paths that are wanted, those of them that keep their times, what it was like, and its packages.

    `unpacked` are the packages that lie in it beside them, `archives` is where the files of all of these are.
    """

    path: Path
    owned: frozenset[str] = frozenset()
    timed: frozenset[str] = frozenset()
    before: Marks = field(default_factory=dict)
    debs: tuple[Deb, ...] = ()
    unpacked: tuple[Deb, ...] = ()
    archives: Path | None = None
    language_version: str = ""


@dataclass(frozen=True, slots=True)
class Base:
    """The runtime that a build begins with: what its tree holds, and what its runtime.yml says."""

    stock: Inventory
    manifest: Manifest


def make(bench: Bench, work: Path, build: BuildSource, architecture: str, base: Base | None) -> Root:
    """Make the root of `build` in the directory `work`. `base` is the runtime it begins with.

    Raises:
        TransientError, TerminalError: BuildFailed; ParentNotReady, the runtime is not as it was installed.
    """
    _check_from(build, base)
    if build.base.from_ == DEBIAN or build.apt or build.npm:
        made = _from_debian(bench, work, build, architecture)
    else:
        made = Root(fresh_directory(work / "root"))
    if base is not None:
        written = fill.copy(base.stock, base.manifest.mounts, made.path, _place(made))
        return _with(made, written, base.manifest.language_version)
    if build.base.from_ == HOST:
        gathered = host_tree.gather(build.base.language, build.base.version)
        for missing in gathered.left_out:
            bench.log(f"runwright: left out: {missing}")
        written = fill.write(gathered.contents, ISOLATED, made.path, _place(made))
        return _with(made, written, gathered.version)
    return replace(made, before=carry.look(made.path))


def inside(root: Path, path: str) -> str:
    """Return where the absolute `path` lies in `root`, whose /bin may be in /usr."""
    return debian.merged(path) if (root / "bin").is_symlink() else path.lstrip("/")


def _check_from(build: BuildSource, base: Base | None) -> None:
    if build.base.from_ not in (DEBIAN, HOST) and base is None:
        raise TerminalError(BUILD_FAILED, f"cannot build from {build.base.from_}: it is not installed")


def _from_debian(bench: Bench, work: Path, build: BuildSource, architecture: str) -> Root:
    wanted = list(build.apt)
    if build.base.from_ == DEBIAN:
        wanted += language.packages(build.base)
        wanted += () if build.base.language == language.STATIC else debian.BASE
    tools = [*(python_packages.TOOLS if build.pip and build.base.from_ == DEBIAN else ())]
    tools += node_packages.TOOLS if build.npm else ()
    made = _made(bench, work, build, architecture, wanted, tools)
    marks = carry.look(made.path)
    # Directories are carried with what is in them; those that hold nothing are not.
    files = frozenset(path for path, mark in marks.items() if not mark.is_directory)
    return Root(
        path=made.path,
        owned=files & (made.owned | made.configured),
        timed=files & made.owned,
        debs=made.wanted,
        unpacked=made.unpacked,
        archives=work / "cache/archives",
        language_version=_version(made, build),
    )


def _made(
    bench: Bench, work: Path, build: BuildSource, architecture: str, wanted: Sequence[str], tools: Sequence[str]
) -> DebianRoot:
    """Make a root of the packages; refuse a version of the language that there is none of, with those there are."""
    base = build.base
    pattern = language.versioned(base) if base.version and base.from_ == DEBIAN else ""
    versioned = Versioned(pattern, base.version) if pattern else None
    try:
        return debian.make(bench, work, architecture, wanted, tools, versioned)
    except NotOffered as error:
        has = f"{base.language} {', '.join(error.offered)}" if error.offered else f"no version of {base.language}"
        raise language.refusal(base, has) from None


def _version(made: DebianRoot, build: BuildSource) -> str:
    """Return the version of the language that Debian had; refuse another than was asked for."""
    names = {"python": "python3", "node": "nodejs", "go": "golang-", "java": "openjdk-"}
    prefix = names.get(build.base.language or "")
    if prefix is None:
        return ""
    found = next((deb for deb in made.wanted if _is_of(deb.name, prefix)), None)
    version = found.version.partition(":")[2] or found.version if found else ""
    plain = version.partition("-")[0].partition("+")[0].partition("~")[0]
    if not language.satisfies(build.base.version, plain):
        raise language.refusal(build.base, f"{found.name if found else prefix} {plain}")
    return plain


def _is_of(name: str, prefix: str) -> bool:
    if prefix == "openjdk-":
        return name.startswith(prefix) and name.endswith("-jdk-headless")
    if prefix == "golang-":
        return name.startswith(prefix) and name.endswith("-go") and name != "golang-go"
    if prefix == "python3":
        return name.startswith("python3.") and name.removeprefix("python3.").isdigit()
    return name == prefix


def _place(root: Root) -> Callable[[str], str | None]:
    """Return what says where a path goes, and that it does not where a package has put something there."""

    def place(path: str) -> str | None:
        at = inside(root.path, f"/{path}")
        return None if at in root.owned else at

    return place


def _with(root: Root, written: frozenset[str], version: str) -> Root:
    """Return `root` with what was written into it; the links by which that is found, such as /bin, are wanted too."""
    return replace(
        root,
        owned=root.owned | written | debian.merging_links(root.path, written),
        timed=root.timed | written,
        before=carry.look(root.path),
        language_version=root.language_version or version,
    )
