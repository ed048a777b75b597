"""`rnx runtime build` and `logs`: a package becomes a Runtime, the daemon builds it, and its log is shown."""

import tempfile
from pathlib import Path

import click

from api import kinds, runtime_spec
from api.cli import runtimes as words
from api.cli.completing import complete_runtime
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.durations import SECONDS
from api.cli.output import note, printable, show_json, size
from api.cli.problems import CommandFailed
from api.client import Client
from api.client_watch import wait_for
from api.errors import ApiError
from api.meta import API_VERSION, Document
from api.packages import checks, declared, identity, listing, packing
from api.packages.findings import Refused, Report
from api.packages.identity import PackageKind
from api.runtime_spec import RuntimeSpec

_BUILT = frozenset({"recipe", "build", "extends", "template", "archive"})


@click.command("build")
@click.argument("package", metavar="DIR|FILE", type=click.Path(exists=True, path_type=Path))
@click.option("--pack", "packed", metavar="FILE", type=click.Path(path_type=Path), help="Pack the tree that is built.")
@click.option("--timeout", type=SECONDS, metavar="DURATION", help="Give up waiting after this long; default: never.")
@click.option(
    "--json", "as_json", is_flag=True, help="As JSON: the Runtime as the API said it; its log goes to standard error."
)
@reaching
@pass_connection
def build(connection: Connection, *, package: Path, packed: Path | None, timeout: float | None, as_json: bool) -> None:
    """Build a recipe's directory, or a Runtime manifest with a build, on the daemon's host; its log is shown.

    The Runtime is declared as if by rnx apply and stays; the directory of a recipe must stay too.
    """
    document = manifest_of(package)
    client = connection.client
    applied = client.apply(kinds.RUNTIME, "", document)
    for warning in applied.warnings:
        note(f"Warning: {warning}")
    name = document["metadata"]["name"]
    (version,) = applied.document["spec"].get("versions") or ("1.0.0",)
    done = _built(client, applied.document, version, timeout, aside=as_json)
    found = words.version_of(done, version)
    reason, message = words.readiness(done)
    if found.get("state") != "Installed" or found.get("health") == "Unhealthy":
        why = printable(found.get("message") or found.get("healthMessage") or message)
        head = f"cannot build {name}@{version}: "
        raise CommandFailed(head + ": ".join(filter(None, (reason, why.removeprefix(head)))))
    click.echo(f"Runtime {name}@{version} is built: {found.get('path')}", err=as_json)
    if packed is not None:
        archive = packing.pack_directory(Path(found["path"]), packed, version)
        about = f"{archive.path}: {archive.identity}, {size(archive.size_bytes)}, sha256:{archive.sha256}"
        click.echo(about, err=as_json)
    if as_json:
        show_json(done)


@click.command("logs")
@click.argument("spec", metavar="SPEC", shell_complete=complete_runtime)
@click.option("-f", "--follow", is_flag=True, help="Until the build ends.")
@reaching
@pass_connection
def logs(connection: Connection, *, spec: str, follow: bool) -> None:
    """Print what the last build of a runtime said, or of NAME@VERSION."""
    wanted = words.parse(spec)
    found = words.find(connection.client, wanted)
    _copy_log(connection.client, str(found["metadata"]["name"]), _version_meant(found, wanted), follow=follow)


def _version_meant(runtime: Document, wanted: RuntimeSpec) -> str:
    """Return the version whose log is asked for; of a range the highest there is word of, empty for the last build."""
    if wanted.range is None:
        return wanted.version or ""
    known = [str(each["version"]) for each in runtime.get("status", {}).get("versions") or ()]
    if best := runtime_spec.best(wanted.range, filter(runtime_spec.is_version, known)):
        return best
    there = f"there is {', '.join(known)}" if known else "there is none"
    raise CommandFailed(printable(f"cannot print the log of {wanted}: no version in this range was built: {there}"))


def manifest_of(package: Path) -> Document:
    """Return the Runtime that a package is built by: its own manifest, or one of a recipe in a directory.

    Raises:
        Refused: it is neither, or its checks find an error.
    """
    from api.packages.scaffold import BUILD_FILE

    if package.is_dir() and not (package / BUILD_FILE).is_file():
        return _recipe(package)
    file = package / BUILD_FILE if package.is_dir() else package
    if listing.is_archive(file):
        return _recipe(file)
    return _declared(file)


def _recipe(path: Path) -> Document:
    found = listing.of_directory(path) if path.is_dir() else listing.of_archive(path)
    _refuse_if_wrong(checks.check(found), path)
    called = identity.identify(found)
    if called.kind is not PackageKind.RECIPE:
        raise Refused(f"cannot build {path}: it is a finished tree: rnx runtime pack or publish it")
    # Of a directory it says which content is meant, so that a changed one is built again.
    source = {"url": str(path.resolve()), "checksum": f"sha256:{_checksum(path)}"}
    return _runtime(called.name, {"versions": [called.version], "recipe": source})


def _checksum(path: Path) -> str:
    if not path.is_dir():
        return packing.checksum(path)[0]
    with tempfile.TemporaryDirectory(prefix="rnx-build.") as aside:
        return packing.pack_directory(path, Path(aside)).sha256


def _declared(file: Path) -> Document:
    from api.cli import files

    found = list(files.read((str(file),), recursive=False))
    bad = [each for each in found if isinstance(each, files.BadManifest)]
    manifests = [each for each in found if isinstance(each, files.Manifest)]
    if bad or len(manifests) != 1:
        raise Refused(str(bad[0]) if bad else f"cannot build {file}: it must hold one Runtime, and holds {len(found)}")
    document = manifests[0].document
    _refuse_if_wrong(declared.check(document, str(file)), file)
    if document.get("kind") != "Runtime" or declared.source_of(document) not in _BUILT:
        raise Refused(
            f"cannot build {file}: it is no Runtime with a build or a recipe: see rnx runtime init --language"
        )
    return document


def _refuse_if_wrong(report: Report, path: Path) -> None:
    packing.refuse_if_wrong(report, f"cannot build {path}")
    for warning in report.warnings:
        note(f"{click.style('warning:', fg='yellow')} {printable(warning)}")


def _runtime(name: str, spec: Document) -> Document:
    runtime_spec.check_name(name)
    return {"apiVersion": API_VERSION, "kind": "Runtime", "metadata": {"name": name}, "spec": spec}


def _built(client: Client, runtime: Document, version: str, timeout: float | None, *, aside: bool) -> Document:
    """Show the log while `version` is built; return the Runtime when that has worked, or failed."""
    name, generation = runtime["metadata"]["name"], runtime["metadata"]["generation"]

    def is_observed(now: Document | None) -> bool:
        if now is None:
            raise CommandFailed(f"runtime {name} was deleted")
        return bool(now.get("status", {}).get("observedGeneration", 0) >= generation)

    def is_begun(now: Document | None) -> bool:
        return words.version_of(now or {}, version).get("state") == "Installing" or is_over(now)

    def is_over(now: Document | None) -> bool:
        state = words.version_of(now or {}, version).get("state")
        return is_observed(now) and (state in ("Installed", "Failed") or words.readiness(now or {})[0] in _STUCK)

    begun = wait_for(client, kinds.RUNTIME, "", name, until=is_begun, timeout_seconds=timeout)
    if words.version_of(begun or {}, version).get("state") == "Installing":
        try:
            _copy_log(client, name, version, follow=True, aside=aside)
        except ApiError as error:
            note(f"no log of the build: {error.message}")
    return wait_for(client, kinds.RUNTIME, "", name, until=is_over, timeout_seconds=timeout) or {}


_STUCK = frozenset({"Conflict", "RuntimesDisabled", "SourceUnsupported", "InUse"})
"""Why a build may never begin, though nothing of it failed."""


def _copy_log(client: Client, name: str, version: str, *, follow: bool, aside: bool = False) -> None:
    with client.build_logs(name, version, follow=follow) as chunks:
        for chunk in chunks:
            click.echo(chunk, nl=False, err=aside)
