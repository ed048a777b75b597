"""Checks a package as its author sees it: name, version, scripts or mounts, and all that installs would refuse.

Pure: from a `Listing` to a `Report`. Registries are checked in `registry_json.py`, declared builds in `declared.py`.
"""

import posixpath

from api import runtime_spec
from api.packages import identity, recipe_yaml, runtime_yaml, safety
from api.packages.findings import Report
from api.packages.identity import SETUP, PackageKind
from api.packages.listing import MANIFEST_YAML, RUNTIME_YML, EntryKind, Listing
from api.packages.manifest import InvalidManifest, Manifest, Mount

_MOST_LINKS = 40


def check(listing: Listing) -> Report:
    """Return what is right and wrong with a package."""
    report = Report(listing.wrapper or listing.called)
    kind = identity.kind_of(listing)
    if kind is None:
        report.fail(f"no {RUNTIME_YML} or {SETUP} found: a package has the one or the other at its top")
        return report
    if kind is PackageKind.TREE:
        _check_tree(listing, report)
    else:
        _check_recipe(listing, report)
    safety.check(listing, report)
    return report


def check_name(name: str, report: Report) -> None:
    """Check the name of a runtime."""
    try:
        runtime_spec.check_name(name)
    except runtime_spec.SpecError as error:
        report.fail(f"Runtime name invalid: {error}")
    else:
        report.right(f"Runtime name valid: {name}")


def check_version(version: str, report: Report) -> None:
    """Check the version of a package."""
    try:
        runtime_spec.check_version(version)
    except runtime_spec.SpecError as error:
        report.fail(f"Version format invalid: {error}")
        return
    report.right(f"Version format valid: {version}")
    if runtime_spec.is_prerelease(version):
        report.warn(f"{version} is a pre-release: latest and bare names mean it only where there is nothing else")


# Recipes.


def _check_recipe(listing: Listing, report: Report) -> None:
    text = listing.texts.get(MANIFEST_YAML)
    if text is None:
        report.fail(f"{MANIFEST_YAML} not found: it gives name and version")
    else:
        _check_recipe_manifest(text, listing, report)
    scripts = identity.scripts_of(listing)
    if scripts:
        report.right(f"Found {len(scripts)} setup script(s)")
    elif SETUP in listing.texts:
        report.warn(f"No setup scripts found (setup-*.sh): {SETUP} is used on every platform")
    else:
        report.fail(f"no {RUNTIME_YML} or {SETUP} found: a recipe needs setup-PLATFORM.sh or {SETUP}")
    for name in sorted(listing.texts):
        if name.endswith(".sh"):
            _check_script(name, listing.texts[name], report)


def _check_recipe_manifest(text: bytes, listing: Listing, report: Report) -> None:
    try:
        manifest = recipe_yaml.load(text)
    except InvalidManifest as error:
        for problem in error.problems:
            report.fail(f"{MANIFEST_YAML}:{problem}")
        return
    for field in ("name", "version"):
        if not getattr(manifest, field):
            report.fail(f"{MANIFEST_YAML} does not give the {field}")
    directory = listing.wrapper or listing.called
    if manifest.name and directory not in (manifest.name, f"{manifest.name}-{manifest.version}"):
        report.warn(f'Directory name "{directory}" does not match manifest name "{manifest.name}"')
    if manifest.name:
        check_name(manifest.name, report)
    if manifest.version:
        check_version(manifest.version, report)
    _check_platforms(manifest.platforms, listing, report)
    loose = [package for package in manifest.packages if not _is_pinned(package)]
    if loose:
        report.warn(f"{len(loose)} package(s) without a version, {loose[0]} for one: builds differ from day to day")


def _check_platforms(platforms: tuple[str, ...], listing: Listing, report: Report) -> None:
    for platform in platforms:
        if not identity.is_platform(platform):
            report.fail(f'"{platform}" is not a platform: write DISTRIBUTION-ARCHITECTURE, such as ubuntu-amd64')
        elif platform not in identity.scripts_of(listing) and SETUP not in listing.texts:
            report.warn(f"{platform} is promised, and there is no setup-{platform}.sh")
    for platform, script in identity.scripts_of(listing).items():
        if platforms and platform not in platforms:
            report.warn(f"{script} is there, and platforms does not name {platform}: it is never used")


def _is_pinned(package: str) -> bool:
    return "==" in package or "@" in package.lstrip("@")


def _check_script(name: str, text: bytes, report: Report) -> None:
    if not text.strip():
        report.fail(f"{name} is empty")
    elif b"\r\n" in text:
        report.fail(f"{name} has the line ends of Windows: bash cannot run it: use dos2unix")
    elif text.startswith(b"\xef\xbb\xbf"):
        report.fail(f"{name} begins with a byte order mark: bash cannot run it: save it as plain UTF-8")
    elif not text.startswith(b"#!"):
        report.warn(f"{name} does not begin with #!/bin/bash")


# Trees.


def _check_tree(listing: Listing, report: Report) -> None:
    try:
        manifest = runtime_yaml.load(listing.texts[RUNTIME_YML])
    except InvalidManifest as error:
        for problem in error.problems:
            report.fail(f"{RUNTIME_YML}:{problem}")
        return
    check_name(manifest.name, report)
    _check_tree_version(manifest, listing, report)
    for warning in manifest.warnings:
        report.warn(f"{RUNTIME_YML}:{warning}")
    missing = 0
    places = _Places(listing)
    for mount in manifest.mounts:
        missing += _check_mount(mount, places, report)
    if not missing:
        report.right(f"Found {len(manifest.mounts)} mount(s), and all that they name")
    _check_machines(manifest, listing, report)


def _check_tree_version(manifest: Manifest, listing: Listing, report: Report) -> None:
    directory = listing.wrapper or listing.called
    version = directory.removeprefix(f"{manifest.name}-") if directory != manifest.name else ""
    if version == directory or (version and not runtime_spec.is_version(version)):
        report.warn(f'Directory name "{directory}" does not match runtime name "{manifest.name}"')
    elif version:
        check_version(version, report)


def _check_mount(mount: Mount, places: "_Places", report: Report) -> int:
    """Report what is missing of one mount; return how much of it would be refused."""
    why = places.why_missing(mount.source)
    if why:
        report.fail(f"cannot mount {mount.source} at {mount.target}: {why}")
        return 1
    for name in mount.selective:
        if why := places.why_missing(f"{mount.source}/{name}"):
            report.warn(f"cannot show {name} of {mount.source} at {mount.target}: {why}")
    return 0


def _check_machines(manifest: Manifest, listing: Listing, report: Report) -> None:
    said = {identity.architecture(name) for name in manifest.requirements.architectures}
    found = ", ".join(sorted(listing.machines))
    if len(listing.machines) > 1:
        report.warn(f"it has programs of several architectures: {found}")
    elif said and listing.machines and not listing.machines <= said:
        report.fail(f"requirements.architectures says {', '.join(sorted(said))}, and its programs are {found}")


class _Places:
    """Where paths of a tree lead, symbolic links followed as `openat2` beneath the tree would."""

    def __init__(self, listing: Listing) -> None:
        self._links = {e.path: e.link for e in listing.entries if e.kind is EntryKind.LINK}
        self._there = {e.path for e in listing.entries}
        for entry in listing.entries:
            parent = posixpath.dirname(entry.path)
            while parent and parent not in self._there:
                self._there.add(parent)
                parent = posixpath.dirname(parent)

    def why_missing(self, path: str) -> str:
        """Return why `path` cannot be mounted, or nothing."""
        left, at, followed = list(reversed(path.split("/"))), "", 0
        while left:
            part = left.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not at:
                    return "it leads out of the tree of the runtime"
                at = posixpath.dirname(at)
                continue
            here = f"{at}/{part}" if at else part
            target = self._links.get(here)
            if target is None:
                if here not in self._there:
                    return "it is not in the tree"
                at = here
                continue
            followed += 1
            if target.startswith("/") or followed > _MOST_LINKS:
                return "it leads out of the tree of the runtime"
            left += reversed(target.split("/"))
        return ""
