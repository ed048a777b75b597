"""From what a Runtime says to how its tree is made: archives, recipes, builds, templates and other runtimes.

Never here: registries, which offer many versions (`offers.py`).
Invariant: the same Runtime and the same parents give an equal source, with an equal fingerprint.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from api import conditions, runtime_spec
from api.kinds import RUNTIME, RUNTIME_TEMPLATE
from api.meta import Document, ObjectKey
from api.model import ApiModel
from api.ports import Change, Storage
from api.types.runtime import Runtime, RuntimeReason
from api.types.runtime_sources import BuildLimits, BuildSource, TemplateSource
from api.types.runtime_template import RuntimeTemplate
from controller.engine.errors import TerminalError, TransientError
from controller.registry.access import ANYONE
from controller.runtime import resolve
from controller.runtime.build.declared import DeclaredBuild
from controller.runtime.build.recipe import RecipeSource
from controller.runtime.build.roots import DEBIAN, HOST
from controller.runtime.build.sandbox import BuildHost
from controller.runtime.resolve import Resolved, Standing
from controller.runtime.sources import templates
from controller.runtime.sources.archive import ArchiveSource
from controller.runtime.sources.composition import Composition, Layer
from controller.runtime.sources.offers import Offers
from controller.runtime.trees.records import Records
from controller.runtime.trees.source import TreeSource
from controller.runtime.trees.tree import InstalledRuntime

HOST_BASES = (DEBIAN, HOST)
_BUILT = ("recipe", "build")
"""Kinds of sources that always run somebody's commands; packages of registries may, which is seen when one is there."""


class ParentMissingError(TransientError):
    """A runtime that another one is made of is not installed: `name`, `wanted`. `is_unasked`: nobody declared it."""

    def __init__(self, name: str, wanted: str, message: str, *, is_unasked: bool) -> None:
        """Keep what is missing."""
        super().__init__(RuntimeReason.PARENT_NOT_READY, message)
        self.name = name
        self.wanted = wanted
        self.is_unasked = is_unasked


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of Runtimes on this host. Without `builds` nothing declared is built."""

    storage: Storage
    records: Records
    offers: Offers
    builds: BuildHost | None = None

    def of(self, runtime: Runtime, installed: tuple[InstalledRuntime, ...]) -> TreeSource:
        """Return how the one version of `runtime` is made, given what is `installed`.

        Raises:
            ParentMissingError: a runtime that it is made of is not there.
            TransientError, TerminalError: it cannot be made, as long as nothing changes.
        """
        spec, name = runtime.spec, runtime.meta.name
        version = spec.versions[0]
        if spec.archive is not None:
            archive = spec.archive
            access = self.offers.access(archive.headers_from) if archive.headers_from else ANYONE
            return ArchiveSource(name, version, archive.url, archive.checksum, archive.size, access)
        if spec.recipe is not None:
            recipe = spec.recipe
            env = tuple(sorted(recipe.env.items()))
            # What a build may use at most makes no other tree.
            mark = fingerprint(recipe.model_copy(update={"resources": BuildLimits()}))
            return RecipeSource(name, version, recipe.url, recipe.checksum, env, recipe.resources, mark)
        if spec.extends is not None:
            refuse_cycle(name, made_of(self.storage))
            layers = tuple(self._layer(text, installed) for text in spec.extends.runtimes)
            return Composition(name, version, spec.extends, layers)
        return self._declared(runtime, version, installed)

    def why_not_built(self, source: TreeSource) -> str:
        """Return why no build of `source` may begin now; empty if one may, or nothing is built for it."""
        return self.builds.why_not() if self.builds is not None and source.kind in _BUILT else ""

    def _declared(self, runtime: Runtime, version: str, installed: tuple[InstalledRuntime, ...]) -> TreeSource:
        name = runtime.meta.name
        build = runtime.spec.build
        if runtime.spec.template is not None:
            build = self._instantiated(runtime.spec.template)
        assert build is not None
        is_of_another = build.base.from_ not in HOST_BASES
        if is_of_another:
            refuse_cycle(name, made_of(self.storage))
        if self.builds is None:
            why = f"cannot make {name}@{version}: this host does not build runtimes"
            raise TerminalError(RuntimeReason.SOURCE_UNSUPPORTED, why)
        layer = self._layer(build.base.from_, installed) if is_of_another else None
        return DeclaredBuild(name, version, build, layer, self.builds)

    def _instantiated(self, wanted: TemplateSource) -> BuildSource:
        stored = self.storage.get(ObjectKey(RUNTIME_TEMPLATE.name, "", wanted.name))
        if stored is None:
            known = ", ".join(str(item["metadata"]["name"]) for item in self.storage.list(RUNTIME_TEMPLATE.name).items)
            message = f"there is no runtimetemplate/{wanted.name}: there are {known or 'none'}"
            raise TransientError(RuntimeReason.TEMPLATE_NOT_FOUND, message)
        return templates.instantiate(RuntimeTemplate.model_validate(stored), wanted)

    def _layer(self, text: str, installed: tuple[InstalledRuntime, ...]) -> Layer:
        """Return the installed runtime that a parent's spec means."""
        spec = runtime_spec.parse(text)
        found = resolve.resolve(spec, installed, lambda name: Standing(self.records.unhealthy(name)))
        if not isinstance(found, Resolved):
            if isinstance(found, resolve.NotInstalled):
                raise self._missing(text, spec.name or "", spec.wanted)
            raise TransientError(RuntimeReason.PARENT_NOT_READY, found.message)
        record = self.records.of(found.runtime)
        assert found.runtime.manifest is not None
        digest = record.digest if record is not None else ""
        return Layer(found.runtime.spec, found.runtime.path, digest, found.runtime.manifest)

    def _missing(self, text: str, name: str, wanted: str) -> ParentMissingError:
        declared = self.storage.get(ObjectKey(RUNTIME.name, "", name))
        if declared is None:
            return ParentMissingError(name, wanted, f"{text} is not installed: asking for it", is_unasked=True)
        runtime = Runtime.model_validate(declared)
        made_by, makes = runtime.spec.made_by, runtime.spec.versions[:1]
        if made_by and makes and not runtime_spec.matches(wanted, makes[0]):
            message = f"runtime/{name} makes {makes[0]} by its {made_by}, not {text}: ask for {name} here, or change it"
            return ParentMissingError(name, wanted, message, is_unasked=False)
        ready = conditions.find(runtime.status.conditions, "Ready")
        # Not its message, which may quote another one, and that one yet another: it says it itself.
        why = f": it is {ready.reason}" if ready is not None and ready.status == "False" else ""
        message = f"waiting for runtime/{name} to install {text}{why}: see rnx describe runtime/{name}"
        is_asked = bool(made_by) or wanted in runtime.spec.versions
        return ParentMissingError(name, wanted, message, is_unasked=not is_asked)


def made_of(storage: Storage) -> dict[str, tuple[str, ...]]:
    """Return which runtimes each runtime is made of, of all that are declared and not being deleted."""
    known = _templates(storage)
    items = (item for item in storage.list(RUNTIME.name).items if "deletionTimestamp" not in item["metadata"])
    return {str(item["metadata"]["name"]): parents(item, known) for item in items}


def _templates(storage: Storage) -> dict[str, RuntimeTemplate]:
    """Return the templates that there are, by their names."""
    found = {}
    for item in storage.list(RUNTIME_TEMPLATE.name).items:
        try:
            found[str(item["metadata"]["name"])] = RuntimeTemplate.model_validate(item)
        except ValidationError:
            continue  # What is made from it says what is wrong with it.
    return found


def parents(runtime: Document, known: Mapping[str, RuntimeTemplate]) -> tuple[str, ...]:
    """Return the specs of the runtimes that a Runtime is made of, directly or by one of the templates `known`."""
    spec = runtime.get("spec", {})
    extends = (spec.get("extends") or {}).get("runtimes", ())
    base = ((spec.get("build") or {}).get("base") or {}).get("from", HOST_BASES[0])
    if wanted := spec.get("template"):
        base = _base_of(wanted, known) or HOST_BASES[0]
    return tuple(extends) + (() if base in HOST_BASES else (base,))


def _base_of(wanted: Document, known: Mapping[str, RuntimeTemplate]) -> str:
    """Return what a build of a template begins with; empty if there is no such build."""
    template = known.get(str(wanted.get("name")))
    if template is None:
        return ""
    try:
        return templates.instantiate(template, TemplateSource.model_validate(wanted)).base.from_
    except (TerminalError, ValidationError):
        return ""


def refuse_cycle(name: str, made_of: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a runtime that is made of itself, by however many steps.

    Raises:
        TerminalError: ExtendsCycle, which names the runtimes in their order.
    """
    done: set[str] = set()

    def visit(current: str, path: tuple[str, ...]) -> None:
        if current == name and path:
            message = f"{name} is made of itself: {' from '.join((*path, name))}: take one of them out"
            raise TerminalError(RuntimeReason.EXTENDS_CYCLE, message)
        if current in done:
            return
        done.add(current)
        for spec in made_of.get(current, ()):
            visit(spec.partition("@")[0], (*path, current))

    visit(name, ())


@dataclass(frozen=True, slots=True)
class Dependents:
    """Which Runtimes look again when another Runtime or a RuntimeTemplate changes, because they are made of it."""

    storage: Storage

    def of_runtime(self, change: Change) -> tuple[ObjectKey, ...]:
        """Return the Runtimes that are made of the one that changed, if what is in its trees did."""
        if change.previous is not None and _trees(change.previous) == _trees(change.document):
            return ()
        name = str(change.document["metadata"]["name"])
        known = _templates(self.storage)
        return self._whose(lambda item: name in (spec.partition("@")[0] for spec in parents(item, known)))

    def parents(self, change: Change) -> tuple[ObjectKey, ...]:
        """Return the Runtimes that the one that changed is made of no more: they may be there for nothing else."""
        known = _templates(self.storage)
        is_over = change.type == "DELETED" or "deletionTimestamp" in change.document["metadata"]
        now = () if is_over else parents(change.document, known)
        before = set(parents(change.previous or change.document, known)) - set(now)
        names = {spec.partition("@")[0] for spec in before}
        return tuple(ObjectKey(RUNTIME.name, "", name) for name in sorted(names))

    def of_template(self, change: Change) -> tuple[ObjectKey, ...]:
        """Return the Runtimes that are made from the template that changed."""
        name = change.document["metadata"]["name"]
        return self._whose(lambda item: (item.get("spec", {}).get("template") or {}).get("name") == name)

    def _whose(self, is_dependent: Callable[[Document], bool]) -> tuple[ObjectKey, ...]:
        return tuple(ObjectKey.of(item) for item in self.storage.list(RUNTIME.name).items if is_dependent(item))


def _trees(runtime: Document) -> list[tuple[str, str]]:
    versions = runtime.get("status", {}).get("versions", ())
    return sorted((v["version"], v.get("digest", "")) for v in versions if v.get("state") == "Installed")


def fingerprint(wanted: ApiModel) -> str:
    """Return what identifies what was asked for."""
    return hashlib.sha256(json.dumps(wanted.to_document(), sort_keys=True).encode()).hexdigest()
