"""Which package it is: kind, name, version, description and platforms, told from its listing. Pure.

A tree has a runtime.yml, and its version is the package's, not the language's that runtime.yml mostly gives; a recipe
has a setup script, and its version is manifest.yaml's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from api import runtime_spec
from api.packages import recipe_yaml, runtime_yaml
from api.packages.findings import Refused
from api.packages.listing import MANIFEST_YAML, RUNTIME_YML, Listing
from api.packages.manifest import InvalidManifest

SETUP = "setup.sh"
_SETUP_FOR = re.compile(r"setup-(?P<platform>.+)\.sh")
_DISTRIBUTIONS = ("ubuntu", "rhel", "amzn")
_PLATFORM = re.compile(r"[a-z][a-z0-9.]*-[a-z0-9_]+")


class PackageKind(StrEnum):
    """What a package holds."""

    TREE = "tree"
    RECIPE = "recipe"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which package it is. No `platforms` means that it runs on any."""

    kind: PackageKind
    name: str
    version: str
    description: str = ""
    platforms: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it as NAME@VERSION."""
        return f"{self.name}@{self.version}"


def kind_of(listing: Listing) -> PackageKind | None:
    """Return what a package holds, or None if it is none."""
    if RUNTIME_YML in listing.texts:
        return PackageKind.TREE
    is_recipe = MANIFEST_YAML in listing.texts or SETUP in listing.texts or scripts_of(listing)
    return PackageKind.RECIPE if is_recipe else None


def scripts_of(listing: Listing) -> dict[str, str]:
    """Return a recipe's setup scripts by the platform that each is for."""
    found = {name: _SETUP_FOR.fullmatch(name) for name in sorted(listing.texts)}
    return {match["platform"]: name for name, match in found.items() if match}


def is_platform(text: str) -> bool:
    """Say whether `text` is written as platforms are, such as ubuntu-amd64."""
    return _PLATFORM.fullmatch(text) is not None


def architecture(machine: str) -> str:
    """Return the one name of an architecture that has several.

    >>> architecture("x86_64"), architecture("arm64")
    ('amd64', 'arm64')
    """
    lowered = machine.lower()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(lowered, lowered)


def identify(listing: Listing, version: str = "") -> Identity:
    """Return which package it is; `version` is used where its files say none.

    Raises:
        Refused: it is no package, does not say its name or version, or says another than `version`.
    """
    kind = kind_of(listing)
    if kind is None:
        raise Refused(f"cannot use {listing.called} as a package: no {RUNTIME_YML} or {SETUP} found at its top")
    try:
        found = _tree(listing, version) if kind is PackageKind.TREE else _recipe(listing, version)
        runtime_spec.check_name(found.name)
        runtime_spec.check_version(found.version)
    except InvalidManifest as error:
        file = RUNTIME_YML if kind is PackageKind.TREE else MANIFEST_YAML
        raise Refused(f"cannot use {listing.called} as a package: {file}:{error}") from None
    except runtime_spec.SpecError as error:
        raise Refused(f"cannot use {listing.called} as a package: {error}") from None
    return found


def _tree(listing: Listing, version: str) -> Identity:
    manifest = runtime_yaml.load(listing.texts[RUNTIME_YML])
    beside = recipe_yaml.load(listing.texts[MANIFEST_YAML]) if MANIFEST_YAML in listing.texts else None
    directory = listing.wrapper or listing.called
    candidates = {
        MANIFEST_YAML: beside.version if beside else "",
        f"the name of its directory, {directory},": _version_in(manifest.name, directory),
        f"its name, {listing.called},": _version_in(manifest.name, listing.called),
        RUNTIME_YML: manifest.version,
    }
    said = {where: text for where, text in candidates.items() if text and runtime_spec.is_version(text)}
    chosen = version or next(iter(said.values()), "")
    if manifest.language:
        said.pop(RUNTIME_YML, None)  # That is its language's, as a rule.
    _refuse_other(listing, manifest.name, version, said)
    if not chosen:
        raise Refused(
            f"cannot tell the version of {manifest.name}: {RUNTIME_YML} gives its language's: say --version X.Y.Z, or "
            f"call the directory {manifest.name}-X.Y.Z"
        )
    machines = manifest.requirements.architectures or tuple(sorted(listing.machines))
    known = sorted({architecture(machine) for machine in machines})
    platforms = tuple(f"{distribution}-{machine}" for distribution in _DISTRIBUTIONS for machine in known)
    return Identity(PackageKind.TREE, manifest.name, chosen, manifest.description, platforms)


def _recipe(listing: Listing, version: str) -> Identity:
    manifest = recipe_yaml.load(listing.texts.get(MANIFEST_YAML, b"{}"))
    platforms = manifest.platforms or tuple(scripts_of(listing))
    if runtime_spec.is_version(manifest.version):
        _refuse_other(listing, manifest.name, version, {MANIFEST_YAML: manifest.version})
    return Identity(PackageKind.RECIPE, manifest.name, version or manifest.version, manifest.description, platforms)


def _refuse_other(listing: Listing, name: str, version: str, said: Mapping[str, str]) -> None:
    """Refuse `version` where the package says another one of itself, `said` by where, what counts most first."""
    where, found = next(iter(said.items()), ("", version))
    if version and found != version:
        raise Refused(
            f"cannot use {listing.called} as {name}@{version}: {where} says {found}: change it, or leave --version out"
        )


def _version_in(name: str, directory: str) -> str:
    found = directory.removeprefix(f"{name}-") if directory.startswith(f"{name}-") else ""
    return found if runtime_spec.is_version(found) else ""
