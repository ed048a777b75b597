"""Which installed runtime a spec means. Pure: no disk, no network, no clock.

A bare name is its highest *installed* version here; what a registry would offer is another question.
Invariant: the same spec and the same trees give the same answer, whatever the order of the trees.
"""

from dataclasses import dataclass

from api import runtime_spec
from api.runtime_spec import RuntimeSpec
from controller.runtime import languages, tree
from controller.runtime.tree import InstalledRuntime


@dataclass(frozen=True, slots=True)
class Resolved:
    """The spec means exactly this tree."""

    runtime: InstalledRuntime


@dataclass(frozen=True, slots=True)
class NotInstalled:
    """Nothing installed is meant; `candidates` are the specs that come near."""

    message: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The spec may mean any of `candidates`: ask for one by name."""

    message: str
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Several trees claim to be what is meant: one has to go."""

    message: str
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """What is meant is there and cannot be used."""

    message: str
    runtime: InstalledRuntime


Resolution = Resolved | NotInstalled | Ambiguous | Conflict | Broken


def resolve(spec: RuntimeSpec, installed: tuple[InstalledRuntime, ...]) -> Resolution:
    """Return which of `installed` is meant by `spec`, or why none is."""
    if spec.name is not None:
        return _resolve_name(spec.name, spec.version, installed)
    offers = [offered for runtime in installed if runtime.is_valid and (offered := _offer(runtime)) is not None]
    names = languages.choose(spec, offers)
    if len(names) == 1:
        return _resolve_name(names[0], None, installed)
    if names:
        message = f"{spec} may mean {', '.join(names)}: ask for one of them by name"
        return Ambiguous(message, names)
    near = sorted({offered.name for offered in offers if spec.language in (offered.language, offered.family)})
    return NotInstalled(_not_installed(str(spec), near), tuple(near))


def conflicts(installed: tuple[InstalledRuntime, ...]) -> dict[str, Conflict]:
    """Return a `Conflict` for each spec that more than one usable tree claims."""
    claims: dict[str, list[str]] = {}
    for runtime in installed:
        if runtime.is_valid:
            claims.setdefault(runtime.spec, []).append(str(runtime.path))
    return {spec: _conflict(spec, paths) for spec, paths in claims.items() if len(paths) > 1}


def _resolve_name(name: str, version: str | None, installed: tuple[InstalledRuntime, ...]) -> Resolution:
    called_so = sorted((runtime for runtime in installed if runtime.name == name), key=tree.by_version)
    usable = [runtime for runtime in called_so if runtime.is_valid]
    spec = RuntimeSpec(name=name, version=version)
    if version is None:
        version = runtime_spec.latest(runtime.version for runtime in usable if runtime.version is not None)
    chosen = [runtime for runtime in usable if runtime.version == version]
    if len(chosen) == 1:
        return Resolved(chosen[0])
    if chosen:
        return _conflict(chosen[0].spec, [str(runtime.path) for runtime in chosen])
    for runtime in reversed(called_so):
        if not runtime.is_valid and runtime.has_manifest and spec.version in (None, runtime.version):
            reasons = "; ".join(runtime.problems)
            return Broken(f"cannot use {runtime.spec} in {runtime.path}: {reasons}: install it again", runtime)
    near = [runtime.spec for runtime in usable]
    return NotInstalled(_not_installed(str(spec), near), tuple(near))


def _not_installed(spec: str, near: list[str]) -> str:
    available = f": available: {', '.join(near)}" if near else ""
    return f"runtime {spec} is not installed{available}: run `rnx runtime install {spec}`"


def _offer(runtime: InstalledRuntime) -> languages.Offer | None:
    manifest = runtime.manifest
    if manifest is None:
        return None
    return languages.offer(runtime.name, manifest.language, manifest.language_version)


def _conflict(spec: str, paths: list[str]) -> Conflict:
    trees = tuple(sorted(paths))
    return Conflict(f"cannot tell which {spec} is meant: {' and '.join(trees)} both claim it: remove one", trees)
