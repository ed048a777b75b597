"""Which installed runtime a spec means. Pure: no disk, no network, no clock.

A bare name, `latest` and a range are the highest *installed* version that is not Unhealthy and not held back; what a
registry would offer is another question. An exact version is that version, whatever is known of it.
Invariant: the same spec and the same trees give the same answer, whatever the order of the trees.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from api import runtime_spec
from api.runtime_spec import RuntimeSpec
from controller.runtime import meaning
from controller.runtime.meaning import Hold
from controller.runtime.trees import languages, tree
from controller.runtime.trees.tree import InstalledRuntime


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of the versions of one runtime: which are `unhealthy` and why, and what holds entries back."""

    unhealthy: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    holds: tuple[Hold, ...] = ()


NOTHING_KNOWN = Standing()


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


def resolve(
    spec: RuntimeSpec,
    installed: tuple[InstalledRuntime, ...],
    standing: Callable[[str], Standing] = lambda _name: NOTHING_KNOWN,
) -> Resolution:
    """Return which of `installed` is meant by `spec`, or why none is; `standing` tells what is known of a name."""
    if spec.name is not None:
        return _resolve_name(spec, installed, standing(spec.name))
    offers = [offered for runtime in installed if runtime.is_valid and (offered := _offer(runtime)) is not None]
    names = languages.choose(spec, offers)
    if len(names) == 1:
        return _resolve_name(RuntimeSpec(name=names[0]), installed, standing(names[0]))
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


def _resolve_name(spec: RuntimeSpec, installed: tuple[InstalledRuntime, ...], standing: Standing) -> Resolution:
    called_so = [runtime for runtime in installed if runtime.name == spec.name]
    usable = [runtime for runtime in called_so if runtime.is_valid]
    version = _version_of(spec, usable, standing)
    chosen = [runtime for runtime in usable if runtime.version == version]
    if version is None and (spec.range is not None or any(runtime.version is not None for runtime in usable)):
        chosen = []  # A tree of no known version is in no range, and comes after any version.
    if len(chosen) == 1:
        return Resolved(chosen[0])
    if chosen:
        return _conflict(chosen[0].spec, [str(runtime.path) for runtime in chosen])
    return _unusable(spec, called_so, usable, standing)


def _version_of(spec: RuntimeSpec, usable: list[InstalledRuntime], standing: Standing) -> str | None:
    """Return the exact version that `spec` means of those that are usable; None if it means none of a known version."""
    if spec.version is not None:
        return spec.version
    healthy = [r.version for r in usable if r.version is not None and r.version not in standing.unhealthy]
    candidates = [version for version in healthy if runtime_spec.matches(spec.wanted, version)]
    return runtime_spec.best(spec.wanted, meaning.without_held(candidates, standing.holds))


def _unusable(
    spec: RuntimeSpec, called_so: list[InstalledRuntime], usable: list[InstalledRuntime], standing: Standing
) -> Resolution:
    """Say why nothing that is there can be what `spec` means."""
    for runtime in sorted(called_so, key=tree.by_version, reverse=True):
        is_meant = spec.version == runtime.version or (spec.version is None and _may_mean(spec, runtime.version))
        if not is_meant:
            continue
        if not runtime.is_valid and runtime.has_manifest:
            reasons = "; ".join(runtime.problems)
            return Broken(f"cannot use {runtime.spec} in {runtime.path}: {reasons}: install it again", runtime)
        if runtime.is_valid and (why := standing.unhealthy.get(runtime.version or "")) is not None:
            fix = f"repair its package, or ask for {runtime.spec} to use it as it is"
            return Broken(f"cannot use {runtime.spec}: it is Unhealthy: {why}: {fix}", runtime)
    near = [runtime.spec for runtime in sorted(usable, key=tree.by_version)]
    return NotInstalled(_not_installed(str(spec), near), tuple(near))


def _may_mean(spec: RuntimeSpec, version: str | None) -> bool:
    if version is None or not runtime_spec.is_version(version):
        return spec.range is None
    return runtime_spec.matches(spec.wanted, version)


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
