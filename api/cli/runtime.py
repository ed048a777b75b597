"""`rnx runtime`: the table of its commands, and `info` and `remove`.

Each is a change or a reading of Runtime objects, or works on files of this machine; nothing is installed from here.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from api import kinds
from api.cli import describe as description
from api.cli import runtimes as words
from api.cli.completing import complete_runtime
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.durations import SECONDS
from api.cli.lazy import Lazy, LazyGroup
from api.cli.output import printable, show_json, size
from api.cli.problems import CommandFailed
from api.cli.targets import Target
from api.meta import Document
from api.packages import runtime_yaml
from api.packages.listing import RUNTIME_YML
from api.packages.manifest import InvalidManifest

COMMANDS = {
    "list": Lazy("api.cli.runtime_list:list_runtimes", "List the versions on this host, or what registries offer."),
    "info": Lazy("api.cli.runtime:info", "Show a runtime and what uses it."),
    "install": Lazy("api.cli.runtime_install:install", "Install a runtime."),
    "update": Lazy("api.cli.runtime_ask:update", "Have latest and ranges mean the newest version."),
    "rollback": Lazy("api.cli.runtime_ask:rollback", "Have latest and ranges mean the version before."),
    "history": Lazy("api.cli.runtime_ask:history", "Show what latest and ranges meant."),
    "test": Lazy("api.cli.runtime_test:test", "See whether a runtime works."),
    "verify": Lazy("api.cli.runtime_ask:verify", "Compare a runtime with what was installed."),
    "accept": Lazy("api.cli.runtime_ask:accept", "Take a runtime whose content changed as it is now."),
    "remove": Lazy("api.cli.runtime:remove", "Remove a runtime, or one version of it."),
    "gc": Lazy("api.cli.runtime_ask:gc", "Remove versions that nothing wants or uses."),
    "init": Lazy("api.cli.runtime_author:init", "Begin a package of one's own."),
    "validate": Lazy("api.cli.runtime_author:validate", "Check packages, build manifests and registries."),
    "build": Lazy("api.cli.runtime_build:build", "Build a package on this host, and show how that goes."),
    "logs": Lazy("api.cli.runtime_build:logs", "Print what the build of a runtime said."),
    "pack": Lazy("api.cli.runtime_author:pack", "Pack a package into an archive."),
    "publish": Lazy("api.cli.runtime_author:publish", "Add a package to a registry on this machine."),
}


@click.group("runtime", cls=LazyGroup, table=COMMANDS)
@reaching
def runtime() -> None:
    """Install runtimes and look after them."""


@click.command("info")
@click.argument("spec", metavar="SPEC", shell_complete=complete_runtime)
@click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")
@reaching
@pass_connection
def info(connection: Connection, *, spec: str, as_json: bool) -> None:
    """Show a runtime, the version of it that a spec means, what it mounts and sets, and the jobs that use it."""
    wanted = words.parse(spec)
    document = words.find(connection.client, wanted)
    if as_json:
        show_json(document)
        return
    name = document["metadata"]["name"]
    description.show(connection, Target(kinds.RUNTIME, name), document)
    version = words.meant(document, wanted)
    if version is None and wanted.version is not None:
        versions = document.get("status", {}).get("versions") or ()
        known = ", ".join(str(each["version"]) for each in versions if each.get("state") == "Installed")
        raise CommandFailed(f"{name}@{wanted.version} is not there: installed are {known or 'none'}")
    for label, text in _lines_of_version(name, version, words.version_of(document, version or "")):
        click.echo(f"{label + ':':<18}{printable(text)}".rstrip())
    users = words.users_of(connection.client, name, wanted.version)
    click.echo(f"Used By:          {', '.join(users) or '<none>'}")


def _lines_of_version(name: str, version: str | None, found: Document) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of the version that jobs would get."""
    if version is None:
        yield "Jobs Get", "<none>: no version of it is installed and works"
        return
    state = found.get("state")
    if state in ("Failed", "Installing"):
        why = ": ".join(filter(None, (str(state), found.get("reason"), found.get("message"))))
        yield "Jobs Get", f"<none>: {name}@{version} is {why}"
    else:
        yield "Jobs Get", f"{name}@{version}"
    for label, field in (("Path", "path"), ("Digest", "digest"), ("Source", "source"), ("Kept", "keptBecause")):
        if found.get(field):
            yield label, str(found[field])
    if found.get("health"):
        yield "Health", ": ".join(filter(None, (found["health"], found.get("healthMessage"))))
    if found.get("reproducible"):
        yield "Reproducible", ": ".join(filter(None, (found["reproducible"], found.get("reproducibleMessage"))))
    if found.get("formerDigest"):
        yield "Former Digest", f"{found['formerDigest']}, since {found.get('formerSince')}"
    if found.get("diskBytes") is not None:
        shared = f", {size(found['sharedBytes'])} of it shared" if found.get("sharedBytes") else ""
        yield "Size", f"{size(found['diskBytes'])}{shared}"
    yield from _lines_of_tree(Path(found["path"])) if found.get("path") else ()


def _lines_of_tree(path: Path) -> Iterator[tuple[str, str]]:
    """Yield what the runtime.yml of a tree says, where rnx runs on its host and may read it."""
    try:
        manifest = runtime_yaml.load((path / RUNTIME_YML).read_bytes())
    except (OSError, InvalidManifest):
        return
    if manifest.language:
        yield "Language", f"{manifest.language} {manifest.language_version}".strip()
    for mount in manifest.mounts:
        how = "" if mount.readonly else " (each job has its own copy)"
        only = f" ({', '.join(mount.selective)} only)" if mount.selective else ""
        yield "Mount", f"{mount.target} from {mount.source}{only}{how}"
    for variable, value in sorted(manifest.environment.items()):
        yield "Environment", f"{variable}={value}"
    if manifest.path_prepend:
        yield "Path First", manifest.path_prepend
    needs = manifest.requirements
    if needs.min_memory_bytes:
        yield "Least Memory", size(needs.min_memory_bytes)
    if needs.recommended_memory_bytes:
        yield "Good Memory", size(needs.recommended_memory_bytes)
    if needs.architectures:
        yield "Architectures", ", ".join(needs.architectures)
    if manifest.packages:
        yield "Packages", ", ".join(manifest.packages)


@click.command("remove")
@click.argument("spec", metavar="SPEC", shell_complete=complete_runtime)
@click.option("--force", is_flag=True, help="Although jobs use it.")
@click.option("--timeout", type=SECONDS, metavar="DURATION", help="Give up waiting after this long; default: never.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: what was removed.")
@reaching
@pass_connection
def remove(connection: Connection, *, spec: str, force: bool, timeout: float | None, as_json: bool) -> None:
    """Remove a runtime, or with NAME@VERSION one version of it; refused while jobs use it."""
    from api.cli.runtime_install import drop

    wanted = words.parse(spec)
    document = words.find(connection.client, wanted)
    name = document["metadata"]["name"]
    asked = wanted.version or wanted.range
    users = words.users_of(connection.client, name, wanted.version) if wanted.range is None else []
    if users and not force:
        raise CommandFailed(f"cannot remove {spec}: it is used by {', '.join(users)}: stop them first, or say --force")
    drop(connection, document, asked, timeout)
    show_json({"removed": [spec]}) if as_json else click.echo(f"Runtime {spec} removed")
