"""A registry on disk: a directory with registry.json, its archives beside it, and perhaps its signature.

Here: checking one, and adding a version to it. Invariants: a version that was published never changes; whoever reads
meanwhile, and whatever kills the writer, there is a whole registry.json, what it names is there, and where it is signed
so is a signature that is good.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from api import runtime_spec
from api.packages import archives, packing, signing
from api.packages.archives import Format
from api.packages.findings import Refused, Report
from api.packages.packing import Packed

FILE = "registry.json"
FORMAT = "1"
MOST_BYTES = 16 << 20
_LOCK = ".registry.lock"
_CHECKSUM = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing did: where the archive is, and whether this version is new."""

    archive: Path
    is_new: bool


def publish(directory: Path, packed: Packed, now: str, key: Ed25519PrivateKey | None = None) -> Published:
    """Add a packed version to the registry in `directory`, which is made if it is not there; `now` is RFC 3339.

    Raises:
        Refused: this version is there with another checksum, or the registry cannot be read or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory):
            return _publish(directory, packed, now, key)
    except OSError as error:
        raise Refused(f"cannot publish to {directory}: {error.filename or ''}: {error.strerror}") from None


def sign(directory: Path, key: Ed25519PrivateKey) -> Path:
    """Write the signature of the registry in `directory`; return its path. Raises Refused."""
    with _locked(directory):
        path = directory / (FILE + signing.SUFFIX)
        _replace(path, f"{signing.sign(read_bytes(directory / FILE), key)}\n".encode())
        return path


def read(body: bytes) -> dict[str, Any]:
    """Return the document of a registry.json. Raises Refused: it is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"cannot read {FILE}: it is not JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("runtimes"), dict):
        raise Refused(f"cannot read {FILE}: it must be an object with runtimes")
    if document.get("version") != FORMAT:
        raise Refused(f'cannot read {FILE}: its version is {document.get("version")!r}: "{FORMAT}" is known')
    return document


def read_bytes(path: Path) -> bytes:
    """Return what is in a registry.json, up to the size that daemons read. Raises Refused."""
    try:
        with path.open("rb") as file:
            body = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from None
    if len(body) > MOST_BYTES:
        raise Refused(f"cannot read {path}: it has more than {MOST_BYTES} bytes")
    return body


def local_file(download_url: str) -> str | None:
    """Return the path below the registry's directory that a relative `download_url` names, None for another URL.

    >>> local_file("a/b-1.0.0.tar.gz"), local_file("https://h/x"), local_file("../x"), local_file("a%2Fb")
    ('a/b-1.0.0.tar.gz', None, None, 'a/b')
    """
    parts = urlsplit(download_url)
    if parts.scheme or parts.netloc or parts.query or parts.fragment:
        return None
    path = unquote(parts.path)
    names = path.split("/")
    is_below = not any(name in ("", ".", "..") or name.startswith(".") or "\0" in name for name in names)
    return path if is_below else None


def check(path: Path, key: Ed25519PublicKey | None = None) -> Report:
    """Return what is right and wrong with the registry.json at `path` and the archives beside it."""
    report = Report(str(path))
    try:
        body = read_bytes(path)
        document = read(body)
    except Refused as error:
        report.fail(str(error))
        return report
    _check_signature(path, body, key, report)
    count = 0
    for name, version, fields in _entries(document["runtimes"], report):
        count += 1
        for problem in problems_of(name, version, fields):
            report.fail(f'runtimes["{name}"]["{version}"]{problem}')
        _check_archive(path.parent, name, version, fields, report)
    if not report.errors:
        report.right(f"Found {count} version(s) of {len(document['runtimes'])} runtime(s)")
    return report


def problems_of(name: str, version: str, fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with one entry; each sentence begins with the field."""
    try:
        runtime_spec.check_name(name)
        runtime_spec.check_version(version)
    except runtime_spec.SpecError as error:
        yield f": {error}"
    if fields.get("version", version) != version:
        yield f".version: is {json.dumps(fields['version'])[:80]}, its key is {json.dumps(version)}"
    checksum, url, size = fields.get("checksum"), fields.get("download_url"), fields.get("size")
    if not isinstance(checksum, str) or not _CHECKSUM.fullmatch(checksum):
        yield ".checksum: must be sha256: and 64 hexadecimal digits"
    if not isinstance(url, str) or not url or not url.isprintable() or " " in url:
        yield ".download_url: must be a URL, or a path relative to registry.json"
    elif not urlsplit(url).scheme and local_file(url) is None:
        yield f".download_url: {url} leads out of the registry's directory, or is hidden: keep archives below it"
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
        yield ".size: must be a number of bytes"
    platforms = fields.get("platforms", [])
    if not isinstance(platforms, list) or not all(isinstance(platform, str) for platform in platforms):
        yield ".platforms: must be a list of texts, such as ubuntu-amd64"


def _publish(directory: Path, packed: Packed, now: str, key: Ed25519PrivateKey | None) -> Published:
    path, signature = directory / FILE, directory / (FILE + signing.SUFFIX)
    if key is None and signature.exists():
        raise Refused(f"cannot publish to {directory}: it is signed, and its readers would refuse it: say --sign KEY")
    old = read_bytes(path) if path.exists() else b""
    before: dict[str, Any] = read(old) if old else {"version": FORMAT, "runtimes": {}}
    called = packed.identity
    there = before["runtimes"].get(called.name, {}).get(called.version)
    suffix = (archives.format_of(packed.path.name) or Format.GZIP).suffix
    archive = directory / f"{called.name}-{called.version}{suffix}"
    body = old
    if there is None:
        _take(packed, archive)
        document = _with(before, packed, archive.name, now)
        body = (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    else:
        _refuse_another(there, packed, directory)
        archive = directory / (local_file(str(there.get("download_url", ""))) or archive.name)
        _take(packed, archive)
    if key is not None:
        # Whoever reads meanwhile, or after we are killed, finds the old file or the new one, and the signature of both.
        signed = [each for each in dict.fromkeys((body, old)) if each]
        _replace(signature, "".join(f"{signing.sign(each, key)}\n" for each in signed).encode())
    if body != old:
        _replace(path, body)
    return Published(archive, is_new=body != old)


def _refuse_another(there: Mapping[str, Any], packed: Packed, directory: Path) -> None:
    checksum = _CHECKSUM.fullmatch(str(there.get("checksum", "")))
    if checksum is None or checksum[1].lower() != packed.sha256:
        raise Refused(
            f"cannot publish {packed.identity} to {directory}: this version is there with another checksum, "
            f"{there.get('checksum')}: a published version never changes: give this one, sha256:{packed.sha256}, "
            "a higher version"
        )


def _with(before: dict[str, Any], packed: Packed, url: str, now: str) -> dict[str, Any]:
    """Return the document with one version more, names and versions in their order, all else as it was."""
    called = packed.identity
    entry = {
        "version": called.version,
        "description": called.description,
        "download_url": url,
        "checksum": f"sha256:{packed.sha256}",
        "size": packed.size_bytes,
        "platforms": list(called.platforms),
    }
    runtimes = {**before["runtimes"]}
    runtimes[called.name] = {**runtimes.get(called.name, {}), called.version: entry}
    runtimes[called.name] = dict(sorted(runtimes[called.name].items(), key=_version_key))
    others = {key: value for key, value in before.items() if key not in ("updated_at", "runtimes")}
    return {**others, "updated_at": now, "runtimes": dict(sorted(runtimes.items()))}


def _version_key(item: tuple[str, Any]) -> Any:
    return runtime_spec.version_order(item[0] if runtime_spec.is_version(item[0]) else None)


def _take(packed: Packed, archive: Path) -> None:
    """Have the archive lie at `archive`, whole and durable, before registry.json names it."""
    if archive.exists() and packing.checksum(archive)[0] == packed.sha256:
        return
    aside = archive.with_name(f".{archive.name}.new")
    with packed.path.open("rb") as source, aside.open("wb") as target:
        while piece := source.read(1 << 20):
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())
    if packing.checksum(aside)[0] != packed.sha256:
        aside.unlink()
        raise Refused(f"cannot publish {packed.path}: it changed while it was read: try again")
    os.replace(aside, archive)


def _entries(runtimes: Mapping[str, Any], report: Report) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for name, versions in runtimes.items():
        if not isinstance(versions, dict):
            report.fail(f'runtimes["{name}"]: must be an object of versions')
            continue
        for version, fields in versions.items():
            if isinstance(fields, dict):
                yield name, version, fields
            else:
                report.fail(f'runtimes["{name}"]["{version}"]: must be an object')


def _check_archive(directory: Path, name: str, version: str, fields: Mapping[str, Any], report: Report) -> None:
    url, checksum = fields.get("download_url"), _CHECKSUM.fullmatch(str(fields.get("checksum", "")))
    file = local_file(url) if isinstance(url, str) else None
    if file is None or checksum is None:
        return
    try:
        sha256, size = packing.checksum(directory / file)
    except Refused as error:
        report.fail(f"{name}@{version}: {error}")
        return
    if sha256 != checksum[1].lower():
        report.fail(f"{name}@{version}: {file} has the checksum sha256:{sha256}, and not the one that is promised")
    elif fields.get("size") not in (None, 0, size):
        report.fail(f"{name}@{version}: {file} has {size} bytes, and {fields['size']} are promised")


def _check_signature(path: Path, body: bytes, key: Ed25519PublicKey | None, report: Report) -> None:
    signature = path.with_name(path.name + signing.SUFFIX)
    if not signature.exists():
        if key is not None:
            report.fail(f"it is not signed: there is no {signature.name}")
        return
    if key is None:
        report.warn("it is signed, and the signature was not verified: say --public-key KEY")
        return
    try:
        signing.verify(body, signature.read_text("ascii", "replace"), key)
    except (Refused, OSError) as error:
        report.fail(f"Signature invalid: {error}")
    else:
        report.right("Signature valid")


def _replace(path: Path, body: bytes) -> None:
    """Write a file whole at once and durably."""
    aside = path.with_name(f".{path.name}.new")
    with aside.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the registry alone among all who publish to it; the kernel lets go when the process ends."""
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
