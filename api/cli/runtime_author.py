"""`rnx runtime init`, `validate`, `pack` and `publish`: from nothing to a package in a registry, all on this machine.

No server is asked. What a package may be is `api.packages`'; here is how it is called and what is printed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from api.cli.output import note, printable, show_columns, show_json, size
from api.cli.problems import CommandFailed
from api.packages import checks, listing, packing
from api.packages.archives import Format
from api.packages.findings import Level, Refused, Report
from api.packages.listing import MANIFEST_YAML, RUNTIME_YML

_COLOURS = {Level.RIGHT: "green", Level.WARNING: "yellow", Level.ERROR: "red"}
_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_ANY = click.Path(exists=True, path_type=Path)
_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")
_FORMAT = click.option("--format", "wanted", type=click.Choice([str(each) for each in Format]),
                       help="What to pack a directory in; default: as the output is called, or tar.gz.")  # fmt: skip


@click.command("init")
@click.argument("name", required=False)
@click.option("--language", metavar="python|java|node|go", help="A declared build of this language, not a recipe.")
@click.option("--from-example", metavar="EXAMPLE", help="A copy of this example, called NAME.")
@click.option("--list-examples", is_flag=True, help="Print the examples that there are.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: the files that were written, or the examples.")
def init(
    *, name: str | None, language: str | None, from_example: str | None, list_examples: bool, as_json: bool
) -> None:
    """Make a directory NAME with a first package: a recipe, with --language a declared build, or an example.

    \b
    rnx runtime init my-tool --language python
    rnx runtime init my-tool --from-example tiny
    """
    from api.packages import scaffold

    if list_examples and as_json:
        show_json(dict(scaffold.examples()))
        return
    if list_examples:
        show_columns([("EXAMPLE", "DESCRIPTION"), *scaffold.examples().items()])
        return
    if name is None or (language is not None and from_example is not None):
        raise click.UsageError("give the NAME of the runtime" if name is None
                               else "--language and --from-example say each how to begin: leave one out")  # fmt: skip
    if language is not None and language not in scaffold.LANGUAGES:
        raise click.UsageError(f"cannot begin with {language}: use one of {', '.join(scaffold.LANGUAGES)}")
    written = scaffold.write_example(name, from_example) if from_example else scaffold.write(name, language or "")
    if as_json:
        show_json([str(file) for file in written])
        return
    for file in written:
        click.echo(f"{file} written")
    note(f"Check it with rnx runtime validate {name}, build it with rnx runtime build {name}")


@click.command("validate")
@click.argument("paths", nargs=-1, required=True, metavar="DIR|FILE…", type=_ANY)
@_JSON
def validate(paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Check packages: recipes, trees, archives, build manifests and registries.

    \b
    Exit status: 0 nothing is wrong, though there may be warnings; 1 errors.
    """
    found = {path: list(reports_of(path)) for path in paths}
    reports = [report for each in found.values() for report in each]
    empty = ", ".join(str(path) for path, each in found.items() if not each)
    if as_json:
        show_json([findings_of(report) for report in reports])
    else:
        for report in reports:
            _show(report)
    if empty:
        raise CommandFailed(f"{empty} holds no package and no Runtime")
    if not as_json:
        _sum_up(reports)
    if any(report.errors for report in reports):
        raise CommandFailed


def _sum_up(reports: Sequence[Report]) -> None:
    errors, warnings = (sum(len(found) for found in each) for each in zip(*map(_counted, reports), strict=True))
    right = sum(1 for report in reports if not report.errors)
    click.echo(f"Checked {_counts(len(reports), 'package')}: {right} valid, {_counts(errors, 'error')}, "
               f"{_counts(warnings, 'warning')}")  # fmt: skip


@click.command("pack")
@click.argument("directory", type=_DIRECTORY)
@click.option(
    "-o", "--output", metavar="FILE|DIR", type=click.Path(path_type=Path), help="Default: NAME-VERSION.tar.gz."
)
@click.option("--version", default="", metavar="X.Y.Z", help="The package's version, where the files do not give it.")
@_FORMAT
@_JSON
def pack(directory: Path, output: Path | None, version: str, wanted: str | None, *, as_json: bool) -> None:
    """Pack a recipe or a tree into an archive: the same files give the same bytes."""
    packed = packing.pack_directory(directory, output, version, Format(wanted) if wanted else None)
    _warn(packed.warnings)
    if as_json:
        about = {"path": str(packed.path), "package": str(packed.identity)}
        show_json({**about, "sizeBytes": packed.size_bytes, "sha256": packed.sha256})
        return
    click.echo(f"{packed.path}: {packed.identity}, {size(packed.size_bytes)}, sha256:{packed.sha256}")


@click.command("publish")
@click.argument("package", metavar="DIR|ARCHIVE", type=_ANY)
@click.option("--registry-dir", required=True, metavar="DIR", type=click.Path(path_type=Path),
              help="The registry: a directory with registry.json, made if it is not there.")  # fmt: skip
@click.option("--sign", metavar="KEY", type=click.Path(path_type=Path), help="Sign the registry with this private key.")
@click.option("--version", default="", metavar="X.Y.Z", help="The package's version, where the files do not give it.")
@click.option("--platform", "platforms", multiple=True, metavar="NAME", help="Where it runs, such as ubuntu-amd64.")
@_FORMAT
@_JSON
def publish(
    package: Path, registry_dir: Path, sign: Path | None, version: str, platforms: tuple[str, ...], wanted: str | None,
    *, as_json: bool,
) -> None:  # fmt: skip
    """Add a package to a registry on this machine; a version that is there already never changes."""
    import dataclasses
    import tempfile

    from api.packages import identity, registry_json, signing

    for platform in platforms:
        if not identity.is_platform(platform):
            raise click.UsageError(f'"{platform}" is not a platform: write DISTRIBUTION-ARCHITECTURE')
    if wanted and not package.is_dir():
        raise click.UsageError("--format is for a directory: an archive is published as it is: leave it out")
    key = signing.private_key(sign) if sign else None
    with tempfile.TemporaryDirectory(prefix="rnx-publish.") as aside:
        if package.is_dir():
            packed = packing.pack_directory(package, Path(aside), version, Format(wanted or Format.GZIP))
        else:
            packed = packing.read_archive(package, version)
        if platforms:
            called = dataclasses.replace(packed.identity, platforms=platforms)
            packed = dataclasses.replace(packed, identity=called)
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        published = registry_json.publish(registry_dir, packed, now, key)
    _warn(packed.warnings)
    if as_json:
        about = {"package": str(packed.identity), "registry": str(registry_dir)}
        show_json({**about, "archive": str(published.archive), "isNew": published.is_new})
        return
    what = "published to" if published.is_new else "is already published in"
    click.echo(f"{packed.identity} {what} {registry_dir}: {published.archive}")


def reports_of(path: Path) -> list[Report]:
    """Return what is right and wrong with what is at `path`; a directory of packages is taken apart."""
    try:
        return _reports_of_directory(path) if path.is_dir() else _reports_of_file(path)
    except Refused as error:
        report = Report(str(path))
        report.fail(str(error))
        return [report]


def _reports_of_directory(path: Path) -> list[Report]:
    from api.packages import registry_json
    from api.packages.scaffold import BUILD_FILE

    if (path / registry_json.FILE).is_file() and not (path / RUNTIME_YML).exists():
        return [registry_json.check(path / registry_json.FILE)]
    if (path / BUILD_FILE).is_file():
        return _declared(path / BUILD_FILE)
    is_package = (path / RUNTIME_YML).exists() or (path / MANIFEST_YAML).exists() or any(path.glob("setup*.sh"))
    below = sorted(d for d in path.iterdir() if (d / MANIFEST_YAML).is_file() or (d / RUNTIME_YML).is_file())
    if below and not is_package:
        return [report for directory in below for report in reports_of(directory)]
    return [checks.check(listing.of_directory(path))]


def _reports_of_file(path: Path) -> list[Report]:
    from api.packages import registry_json

    if listing.is_archive(path):
        return [checks.check(listing.of_archive(path))]
    if path.suffix == ".json":
        return [registry_json.check(path)]
    if path.name in (RUNTIME_YML, MANIFEST_YAML):
        return [checks.check(listing.of_directory(path.parent))]
    return _declared(path)


def _declared(path: Path) -> list[Report]:
    from api.cli import files
    from api.packages import declared

    reports = []
    for found in files.read((str(path),), recursive=False):
        if isinstance(found, files.BadManifest):
            report = Report(str(path))
            report.fail(str(found))
        else:
            report = declared.check(found.document, found.place)
        reports.append(report)
    return reports


def findings_of(report: Report) -> dict[str, Any]:
    """Return what was found of a package, for programs."""
    found = [{"level": str(each.level), "message": each.message} for each in report.findings]
    return {"subject": report.subject, "valid": not report.errors, "findings": found}


def _show(report: Report) -> None:
    click.echo(f"Checking: {printable(report.subject)}")
    for finding in report.findings:
        click.echo(f"  {click.style(finding.level, fg=_COLOURS[finding.level])} {printable(finding.message)}")
    click.echo()


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        note(f"{click.style('warning:', fg='yellow')} {printable(warning)}")


def _counted(report: Report) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return report.errors, report.warnings


def _counts(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
