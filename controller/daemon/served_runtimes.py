"""What the API serves of runtimes beside the objects: catalogues of registries, and the logs of builds.

Never here: fetching a catalogue (`controller/registry`) and writing a log (`controller/runtime/build`).
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from api import runtime_spec
from api.errors import About, NotFound, ServiceUnavailable
from api.kinds import RUNTIME
from api.meta import Document, ObjectKey, wire_time
from api.ports import Storage
from api.types.registry import Registry
from controller.engine.errors import TerminalError, TransientError
from controller.registry import catalogue
from controller.registry.cache import CatalogueCache
from controller.registry.catalogue import Entry
from controller.registry.upstream import upstream_of

_BEAT_SECONDS = 0.2  # Until what a build said meanwhile, or its end, is noticed.
_BLOCK = 1 << 16


class ServedCatalogues:
    """Implements `api.ports.Catalogues`."""

    def __init__(self, cache: CatalogueCache, platform: str) -> None:
        """Read from `cache`; `platform` is what this host is."""
        self._cache = cache
        self._platform = platform

    def offered(self, registry: Document, *, refresh: bool) -> Document:
        """Return what a registry offers. Raises ServiceUnavailable."""
        try:
            spec = Registry.model_validate(registry).spec
            found = self._cache.get(upstream_of(spec), ttl_seconds=spec.cache_seconds, refresh=refresh)
        except (TransientError, TerminalError) as error:
            raise ServiceUnavailable(error.message) from None
        except ValidationError as error:
            raise ServiceUnavailable(f"cannot read the Registry: {error}") from None
        runtimes = {
            name: {
                version: self._shown(versions[version]) for version in sorted(versions, key=runtime_spec.version_order)
            }
            for name, versions in sorted(found.catalogue.entries.items())
        }
        problem = "; ".join(filter(None, (found.error, *found.catalogue.problems)))
        return {"fetchedAt": wire_time(found.fetched_at), "problem": problem, "runtimes": runtimes}

    def _shown(self, entry: Entry) -> Document:
        return {
            "description": entry.description,
            "sizeBytes": entry.size_bytes,
            "platforms": list(entry.platforms),
            "unsupported": catalogue.why_unsupported(entry, self._platform),
        }


class ServedBuildLogs:
    """Implements `api.ports.BuildLogs`: `NAME-VERSION.log`, and what came before it in `NAME-VERSION.log.1`."""

    def __init__(self, directory: Path, storage: Storage) -> None:
        """Read below `directory`; `storage` says whether a build is still going."""
        self._directory = directory
        self._storage = storage

    def read(self, runtime: Document, version: str, *, follow: bool, stopped: Callable[[], bool]) -> Iterator[bytes]:
        """Yield the log of a build. Raises NotFound."""
        name = str(runtime["metadata"]["name"])
        version = version or self._last_built(name)
        path = self._directory / f"{name}-{version}.log"
        if not version or (not path.exists() and not (follow and self._is_going(name, version))):
            what = f"{name}@{version}" if version else name
            raise NotFound(
                f"no log of {what}: it was not built on this host", About(RUNTIME.group, RUNTIME.plural, name)
            )
        earlier = path.with_name(f"{path.name}.1")
        if earlier.exists():
            yield from _blocks(earlier, 0)
        yield from self._following(name, version, path, stopped) if follow else _blocks(path, 0)

    def _following(self, name: str, version: str, path: Path, stopped: Callable[[], bool]) -> Iterator[bytes]:
        pause, done, inode = threading.Event(), 0, 0
        while not stopped():
            is_going = self._is_going(name, version)  # Asked before reading: what came until then is read below.
            status = path.stat() if path.exists() else None
            if status is not None and (status.st_ino != inode or status.st_size < done):
                done, inode = 0, status.st_ino  # It was moved aside, and goes on in a new file.
            fresh = b"".join(_blocks(path, done))
            done += len(fresh)
            yield fresh
            if not is_going and not fresh:
                return
            if not fresh:
                pause.wait(_BEAT_SECONDS)

    def _is_going(self, name: str, version: str) -> bool:
        found = self._storage.get(ObjectKey(RUNTIME.name, "", name)) or {}
        versions = found.get("status", {}).get("versions") or ()
        return any(each["version"] == version and each.get("state") == "Installing" for each in versions)

    def _last_built(self, name: str) -> str:
        """Return the version of the newest log of `name`; while one is being built that has none yet, that one."""
        found = {
            version: path.stat().st_mtime_ns
            for path in self._directory.glob(f"{name}-*.log")
            if (version := path.name.removeprefix(f"{name}-").removesuffix(".log")) and runtime_spec.is_version(version)
        }
        status = (self._storage.get(ObjectKey(RUNTIME.name, "", name)) or {}).get("status", {})
        going = [each["version"] for each in status.get("versions") or () if each.get("state") == "Installing"]
        return max(found, key=lambda version: found[version], default=going[0] if going else "")


def _blocks(path: Path, start: int) -> Iterator[bytes]:
    """Yield what is in a log from `start` on; nothing of one that is not there."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(start)
        while block := file.read(_BLOCK):
            yield block
