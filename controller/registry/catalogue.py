"""The catalogue of a registry, `registry.json`: what it offers, and looking something up in it.

Pure. Never here: where it comes from (`location.py`, `fetch.py`) and how long it is good for (`cache.py`).
Invariant: a bad entry is reported by its path and costs no other entry.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from api import runtime_spec
from controller.engine.errors import TransientError
from controller.registry import platforms

FORMAT = "1"
MAX_BYTES = 16 * 1024 * 1024
_CHECKSUM = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")
_MAX_SIZE_BYTES = 1 << 50
_MOST_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of one runtime that a registry offers. `download_url` is as written there."""

    name: str
    version: str
    download_url: str
    sha256: str
    size_bytes: int | None = None
    description: str = ""
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a registry offers: entries by name and version, and what of it could not be used."""

    entries: Mapping[str, Mapping[str, Entry]]
    updated_at: str = ""
    problems: tuple[str, ...] = ()


class InvalidCatalogue(TransientError):
    """A registry.json that says nothing we can use, until its owner mends it."""

    def __init__(self, message: str) -> None:
        """Keep `message`; the reason is InvalidCatalogue."""
        super().__init__("InvalidCatalogue", message)


class RuntimeNotFound(TransientError):
    """The catalogue has no such runtime or version, until its owner adds it."""

    def __init__(self, message: str) -> None:
        """Keep `message`; the reason is RuntimeNotFound."""
        super().__init__("RuntimeNotFound", message)


def parse(body: bytes) -> Catalogue:
    """Return the catalogue in `body`; unknown keys are ignored.

    Raises:
        InvalidCatalogue: it is not a catalogue, or of a format that we do not know.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidCatalogue(f"cannot read registry.json: it is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidCatalogue("cannot read registry.json: it must be an object")
    if document.get("version") != FORMAT:
        said = runtime_spec.shortened(json.dumps(document.get("version")))
        raise InvalidCatalogue(f'cannot read registry.json: its version is {said}: we read version "{FORMAT}"')
    runtimes = document.get("runtimes")
    if not isinstance(runtimes, dict):
        raise InvalidCatalogue("cannot read registry.json: runtimes must be an object")
    problems: list[str] = []  # Of a hostile catalogue there may be millions: the first tell enough.
    entries = {name: _versions(name, versions, problems) for name, versions in runtimes.items()}
    updated_at = document.get("updated_at")
    return Catalogue(
        {name: versions for name, versions in entries.items() if versions},
        updated_at[:64] if isinstance(updated_at, str) else "",
        tuple(problems[:_MOST_PROBLEMS]),
    )


Wanted = str | Callable[[str], bool] | None
"""Which version: an exact one, any that a predicate likes, or None for any. Of several it is the latest."""


def find(catalogue: Catalogue, name: str, wanted: Wanted) -> Entry:
    """Return the entry of `name` that is `wanted`; of several the latest: pre-releases only if there is nothing else.

    Raises:
        RuntimeNotFound: it is not there; says what is.
    """
    versions = catalogue.entries.get(name)
    if not versions:
        near = ", ".join(sorted(catalogue.entries)[:20])
        available = f" (available: {near})" if near else ""
        raise RuntimeNotFound(f'runtime "{runtime_spec.shortened(name)}" not found in registry{available}')
    chosen = runtime_spec.latest(filter(_predicate(wanted), versions))
    if chosen is None:
        available = ", ".join(sorted(versions, key=runtime_spec.version_order)[-_MOST_PROBLEMS:])
        what = f'version "{wanted}" not found' if isinstance(wanted, str) else "no such version"
        raise RuntimeNotFound(f'{what} for runtime "{name}" (available: {available})')
    return versions[chosen]


def _predicate(wanted: Wanted) -> Callable[[str], bool]:
    if callable(wanted):
        return wanted
    return lambda version: wanted in (None, version)


def why_unsupported(entry: Entry, host: str) -> str:
    """Return why `entry` cannot run on the platform `host`, or nothing if it can."""
    if platforms.supports(entry.platforms, host):
        return ""
    supported = ", ".join(entry.platforms)
    return f"{entry.name}@{entry.version} does not support this platform, {host}: it supports {supported}"


def _versions(name: str, versions: object, problems: list[str]) -> dict[str, Entry]:
    where = f'runtimes["{runtime_spec.shortened(name)}"]'
    try:
        runtime_spec.check_name(name)
    except runtime_spec.SpecError as error:
        problems.append(f"{where}: {error}")
        return {}
    if not isinstance(versions, dict):
        problems.append(f"{where}: must be an object of versions")
        return {}
    found = {}
    for version, fields in versions.items():
        try:
            found[version] = _entry(name, version, fields)
        except ValueError as error:
            problems.append(f'{where}["{runtime_spec.shortened(version)}"]{error}')
    return found


def _entry(name: str, version: str, fields: object) -> Entry:
    if not isinstance(fields, dict):
        raise ValueError(": must be an object")
    if not runtime_spec.is_version(version):
        raise ValueError(": is not a version: use MAJOR.MINOR.PATCH")
    if fields.get("version", version) != version:
        raise ValueError(f".version: is {json.dumps(fields['version'])[:80]}, its key is {json.dumps(version)}")
    checksum = _CHECKSUM.fullmatch(_text(fields, "checksum"))
    if checksum is None:
        raise ValueError(".checksum: must be sha256: and 64 hexadecimal digits")
    url = _text(fields, "download_url")
    if not url or any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError(".download_url: must be a URL, or a path relative to registry.json")
    return Entry(
        name=name,
        version=version,
        download_url=url,
        sha256=checksum[1].lower(),
        size_bytes=_size(fields.get("size")),
        description=_text(fields, "description")[:256],
        platforms=_platforms(fields.get("platforms", [])),
    )


def _text(fields: dict[str, object], key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f".{key}: must be a text")
    return value


def _size(value: object) -> int | None:
    if value is None or value == 0:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _MAX_SIZE_BYTES:
        raise ValueError(".size: must be a number of bytes")
    return value


def _platforms(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(".platforms: must be a list of texts, such as ubuntu-amd64")
    return tuple(value)
