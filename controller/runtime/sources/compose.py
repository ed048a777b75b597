"""What the runtime.yml of a runtime says that is made of others: mounts append, the child's environment wins. Pure.

    mounts            the parents' in their order, then the child's; of one target, the child's is taken
    environment       later parents win over earlier ones, the child over all
    PATH_PREPEND      the child's first, then the later parents' before the earlier ones'
    min_memory …      the highest
    architectures     those that all have that name some

Never here: files (`composition.py`).
Invariant: what cannot be put together is refused with the names of those that do not go together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from api.meta import Document
from api.packages import runtime_yaml
from api.packages.manifest import Manifest, Mount
from api.types.runtime import RuntimeReason
from api.types.runtime_sources import ExtendsSource, Requirements
from controller.engine.errors import TerminalError
from controller.registry import platforms

PATH_PREPEND = "PATH_PREPEND"


@dataclass(frozen=True, slots=True)
class Parent:
    """A runtime that another one is made of, called as NAME@VERSION."""

    spec: str
    manifest: Manifest


def document(name: str, extends: ExtendsSource, parents: Sequence[Parent]) -> Document:
    """Return the runtime.yml of the runtime `name`.

    Raises:
        TerminalError: InvalidComposition, they do not go together.
    """
    spoken = next((p.manifest for p in parents if p.manifest.language), None)
    managed = next((p.manifest.package_manager for p in parents if p.manifest.package_manager), None)
    written: Document = {
        "name": name,
        "type": "managed" if managed else "system",
        "version": spoken.version if spoken else "",
        "description": extends.description or f"made of {', '.join(parent.spec for parent in parents)}",
        "mounts": [_mount_document(mount) for mount in mounts(extends, parents)],
        "environment": environment(extends, parents),
        "requirements": requirements(extends.requirements, parents),
        "packages": list(dict.fromkeys(package for parent in parents for package in parent.manifest.packages)),
    }
    if spoken is not None:
        written |= {"language": spoken.language, "language_version": spoken.language_version}
    if managed is not None:
        written["package_manager"] = {"type": managed.type, "cache_volume": managed.cache_volume}
    return {key: value for key, value in written.items() if value not in ("", [], {})}


def mounts(extends: ExtendsSource, parents: Sequence[Parent]) -> tuple[Mount, ...]:
    """Return the mounts of all, each target once.

    Raises:
        TerminalError: InvalidComposition, two parents show different things at one target.
    """
    own = {m.target: Mount(m.source, m.target, m.readonly, m.selective) for m in extends.mounts}
    found: dict[str, tuple[str, Mount]] = {}
    for parent in parents:
        for mount in parent.manifest.mounts:
            if mount.target in own:
                continue
            before = found.get(mount.target)
            if before is not None and before[1].source != mount.source:
                why = (
                    f"{before[0]} mounts {before[1].source} at {mount.target}, {parent.spec} mounts {mount.source} "
                    f"there: mount one of them at {mount.target} in spec.extends.mounts"
                )
                raise _invalid(why)
            found[mount.target] = (parent.spec, mount if before is None else _joined(before[1], mount))
    return (*(mount for _, mount in found.values()), *own.values())


def environment(extends: ExtendsSource, parents: Sequence[Parent]) -> dict[str, str]:
    """Return the variables of all, and in PATH_PREPEND the directories of all."""
    variables: dict[str, str] = {}
    for parent in parents:
        variables |= parent.manifest.environment
    own = dict(extends.environment)
    prepended = [own.pop(PATH_PREPEND, ""), *(parent.manifest.path_prepend for parent in reversed(parents))]
    directories = dict.fromkeys(part for text in prepended for part in text.split(":") if part)
    path = {PATH_PREPEND: ":".join(directories)} if directories else {}
    return variables | own | path


def requirements(own: Requirements, parents: Sequence[Parent]) -> Document:
    """Return what all need together, as a runtime.yml has it.

    Raises:
        TerminalError: InvalidComposition, there is no architecture that all can run on.
    """
    theirs = [parent.manifest.requirements for parent in parents]
    combined = {
        "min_memory": _highest([_bytes(own.min_memory), *(each.min_memory_bytes for each in theirs)]),
        "recommended_memory": _highest(
            [_bytes(own.recommended_memory), *(each.recommended_memory_bytes for each in theirs)]
        ),
        "architectures": _architectures(own, parents),
    }
    return {name: value for name, value in combined.items() if value}


def _architectures(own: Requirements, parents: Sequence[Parent]) -> list[str]:
    named = [("spec.extends", own.architectures), *((p.spec, p.manifest.requirements.architectures) for p in parents)]
    limits = [(who, {platforms.architecture(name) for name in names}) for who, names in named if names]
    if not limits:
        return []
    common = set.intersection(*(names for _, names in limits))
    if not common:
        told = ", ".join(f"{who} runs on {' and '.join(sorted(names))}" for who, names in limits)
        raise _invalid(f"there is no machine that all of them run on: {told}")
    return sorted(common)


def _joined(one: Mount, other: Mount) -> Mount:
    """Return a mount that shows what both show; it is the jobs' own copy if one of them is."""
    names = tuple(dict.fromkeys((*one.selective, *other.selective))) if one.selective and other.selective else ()
    return Mount(one.source, one.target, one.readonly and other.readonly, names)


def _mount_document(mount: Mount) -> Document:
    shown: Document = {"source": mount.source, "target": mount.target, "readonly": mount.readonly}
    return shown | ({"selective": list(mount.selective)} if mount.selective else {})


def _highest(values: Sequence[int | None]) -> str:
    return str(max((value for value in values if value is not None), default="") or "")


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(runtime_yaml.memory_bytes(text))
    except ValueError as error:
        raise _invalid(f"spec.extends.requirements: {error}") from None


def _invalid(why: str) -> TerminalError:
    return TerminalError(RuntimeReason.INVALID_COMPOSITION, f"cannot put the runtimes together: {why}")
