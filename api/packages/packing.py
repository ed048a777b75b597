"""From a package's directory to its archive: the same files give the same bytes, whoever packs them and when.

An archive has one wrapper directory: NAME for a recipe, as released ones have, and NAME-VERSION for a tree, whose
version is written nowhere else. Invariant: what is packed passes every check that installs make.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from api.packages import archives, checks, identity, listing, writing
from api.packages.archives import Format
from api.packages.findings import Refused, Report
from api.packages.identity import Identity, PackageKind
from api.packages.listing import EntryKind, Listing
from api.packages.pack import Changed, Contents, Directory, Link

_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive of a package."""

    path: Path
    identity: Identity
    sha256: str
    size_bytes: int
    warnings: tuple[str, ...] = ()


def pack_directory(
    directory: Path, output: Path | None = None, version: str = "", wanted: Format | None = None
) -> Packed:
    """Pack `directory` to `output`: a file, a directory to put NAME-VERSION.FORMAT in, or here if it is None.

    The format is the one that is `wanted`, or the one that a file's name says, or tar.gz.

    Raises:
        Refused: it is no package, or an install would refuse it; nothing was written.
    """
    found = listing.of_directory(directory)
    report = checks.check(found)
    refuse_if_wrong(report, f"cannot pack {directory}")
    called = identity.identify(found, version)
    path, chosen = _output(output, called, wanted)
    if path.resolve().is_relative_to(directory.resolve()):
        raise Refused(f"cannot pack {directory} to {path}: the archive would lie in what it holds: name another place")
    try:
        sha256, size = writing.write(_contents(directory, found, called), path, chosen)
    except (Changed, writing.Unfit) as error:
        raise Refused(str(error) if isinstance(error, Changed) else f"cannot pack {directory}: {error}") from None
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror}") from None
    return Packed(path, called, sha256, size, report.warnings)


def read_archive(path: Path, version: str = "") -> Packed:
    """Return what the archive at `path` is.

    Raises:
        Refused: it is no package, or an install would refuse it.
    """
    found = listing.of_archive(path)
    report = checks.check(found)
    refuse_if_wrong(report, f"cannot use {path}")
    sha256, size = checksum(path)
    return Packed(path, identity.identify(found, version), sha256, size, report.warnings)


def refuse_if_wrong(report: Report, what: str) -> None:
    """Refuse a package with errors. Raises Refused with the first of them."""
    if report.errors:
        more = f" (and {len(report.errors) - 1} more: rnx runtime validate shows all)" if len(report.errors) > 1 else ""
        raise Refused(f"{what}: {report.errors[0]}{more}")


def checksum(path: Path) -> tuple[str, int]:
    """Return the sha256 and the size of a file. Raises Refused."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_COPY_BYTES):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from None
    return digest.hexdigest(), size


def _output(output: Path | None, called: Identity, wanted: Format | None) -> tuple[Path, Format]:
    chosen = wanted or Format.GZIP
    name = f"{called.name}-{called.version}{chosen.suffix}"
    if output is None:
        return Path(name), chosen
    if output.is_dir() or str(output).endswith(os.sep):
        return output / name, chosen
    said = archives.format_of(output.name)
    if said is None or said is not (wanted or said):
        ends = wanted.suffix if wanted else ", ".join(each.suffix for each in Format)
        raise Refused(f"cannot write {output}: its name must end in {ends}: call it so")
    return output, said


def _contents(directory: Path, found: Listing, called: Identity) -> Contents:
    wrapper = called.name if called.kind is PackageKind.RECIPE else f"{called.name}-{called.version}"
    contents = Contents()
    contents.add(wrapper, Directory())
    for entry in found.entries:
        path = f"{wrapper}/{entry.path}"
        if entry.kind is EntryKind.DIRECTORY:
            contents.add(path, Directory())
        elif entry.kind is EntryKind.LINK:
            contents.add(path, Link(entry.link))
        else:
            contents.add(path, directory / entry.path, 0o755 if entry.mode & 0o111 else 0o644)
    return contents
