"""Packages and registries made by hand, on disk and served over real HTTP."""

import contextlib
import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from controller.registry import catalogue, fetch, location
from controller.registry.catalogue import Catalogue
from controller.registry.resume import Patience
from controller.runtime.sources.registry import Package
from controller.runtime.trees.install import Host
from support.hand_clock import HandClock

PLATFORM = "ubuntu-amd64"


def a_file(name: str, content: bytes = b"content", mode: int = 0o644, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.mode, info.size, info.mtime = mode, len(content), 1_700_000_000
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def a_special(name: str, kind: bytes, link: str = "", mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info, b""


def a_directory(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return a_special(name, tarfile.DIRTYPE, mode=mode)


def a_symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return a_special(name, tarfile.SYMTYPE, target)


def a_hardlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return a_special(name, tarfile.LNKTYPE, target)


def an_archive(*entries: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    """Return the .tar.gz of these entries, as they are, good or bad."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=format) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)


def a_manifest(name: str, more: str = "") -> bytes:
    mounts = '- {source: "isolated/bin", target: "/bin", readonly: true}'
    return f"name: {name}\nversion: 3.10\nmounts:\n  {mounts}\n{more}".encode()


def a_package(name: str, version: str = "1.0.0", *more: tuple[tarfile.TarInfo, bytes], wrapper: str = "") -> bytes:
    """Return the archive of a small prebuilt runtime that says which version it is."""
    prefix = f"{wrapper}/" if wrapper else ""
    return an_archive(
        *([a_directory(wrapper)] if wrapper else []),
        a_file(f"{prefix}runtime.yml", a_manifest(name)),
        a_directory(f"{prefix}isolated"),
        a_directory(f"{prefix}isolated/bin"),
        a_file(f"{prefix}isolated/bin/python3", b"\x7fELF " + version.encode() * 2000, 0o755),
        a_symlink(f"{prefix}isolated/bin/python", "python3"),
        a_file(f"{prefix}isolated/etc/version", version.encode()),
        *more,
    )


def a_tree(path: Path, name: str, more: str = "") -> Path:
    """Write a small runtime at `path`."""
    (path / "isolated" / "bin").mkdir(parents=True)
    (path / "isolated" / "bin" / "python3").write_text("#!")
    (path / "runtime.yml").write_bytes(a_manifest(name, more))
    return path


@dataclass
class RegistryOnDisk:
    """A registry directory that is written as packages are added."""

    path: Path
    runtimes: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def add(self, name: str, version: str, archive: bytes | None = None, **changed: Any) -> "RegistryOnDisk":
        """Offer `name@version`; `changed` overrides fields of its entry, to make them wrong."""
        data = a_package(name, version) if archive is None else archive
        file = f"{name}@{version}.tar.gz"
        self.path.mkdir(parents=True, exist_ok=True)
        _replace(self.path / file, data)
        entry = {
            "version": version,
            "description": f"{name} for tests",
            "download_url": file,
            "checksum": f"sha256:{hashlib.sha256(data).hexdigest()}",
            "size": len(data),
            "platforms": [PLATFORM, "ubuntu-arm64"],
        }
        self.runtimes.setdefault(name, {})[version] = {**entry, **changed}
        self.write()
        return self

    def write(self, **changed: Any) -> None:
        document = {"_comment": "for tests", "version": "1", "runtimes": self.runtimes, **changed}
        _replace(self.path / "registry.json", json.dumps(document).encode())

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def catalogue(self) -> Catalogue:
        return catalogue.parse((self.path / "registry.json").read_bytes())

    def package(self, name: str, version: str | None = None, url: str | None = None) -> Package:
        """Return what installing `name` at `version` from here needs, the registry being read at `url`."""
        entry = catalogue.find(self.catalogue(), name, version)
        where = location.locate(url or self.url)
        return Package(entry, location.archive_url(where, entry.download_url), "test")


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole at once, as a server that is read meanwhile needs it."""
    aside = path.with_name(f".{path.name}.new")
    aside.write_bytes(data)
    aside.replace(path)


@dataclass
class Server:
    """A registry directory over HTTP, and the ways in which it may misbehave."""

    directory: Path
    url: str = ""
    requests: list[str] = field(default_factory=list)
    status: int = 0
    cut_after: int | None = None
    stall_after: int | None = None
    lie_about_length: int = 0
    etags: bool = True
    gate: threading.Event | None = None
    arrived: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def count(self, suffix: str) -> int:
        return sum(path.endswith(suffix) for path in self.requests)


@contextmanager
def served(directory: Path) -> Iterator[Server]:
    """Serve `directory` on a port of its own for as long as the block runs."""
    server = Server(directory)

    class Handler(_Handler):
        behaviour = server

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    behaviour: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        behaviour = self.behaviour
        path = unquote(urlsplit(self.path).path)
        behaviour.requests.append(path)
        behaviour.arrived.set()
        if behaviour.gate is not None:
            behaviour.gate.wait(30)
        file = behaviour.directory / path.lstrip("/")
        if behaviour.status or not file.is_file():
            return self._answer(behaviour.status or HTTPStatus.NOT_FOUND, b"no")
        data = file.read_bytes()
        etag = f'"{hashlib.sha256(data).hexdigest()[:12]}"' if behaviour.etags else ""
        if etag and self.headers.get("If-None-Match") == etag:
            return self._answer(HTTPStatus.NOT_MODIFIED, b"", etag)
        self._answer(HTTPStatus.OK, data, etag)

    def _answer(self, status: int, data: bytes, etag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) + self.behaviour.lie_about_length))
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        cut, stall = self.behaviour.cut_after, self.behaviour.stall_after
        if stall is not None and len(data) > stall:
            self.wfile.write(data[:stall])
            self.behaviour.released.wait(30)
            data = data[stall:]
        with contextlib.suppress(OSError):  # Who asked may have been killed meanwhile.
            self._send(data, cut)

    def _send(self, data: bytes, cut: int | None) -> None:
        self.wfile.write(data if cut is None else data[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        return


_HASTY = Patience(pause_seconds=0.001)
"""As ever, but for the pauses after which a broken download goes on."""


@contextmanager
def a_host(root: Path, **changed: Any) -> Iterator[Host]:
    """Give a host whose trees are in `root`, tokens beside it, and that needs next to no free space."""
    with fetch.new_client(root.parent) as client:
        fields = {"platform": PLATFORM, "clock": HandClock(), "space_floor_bytes": 1, "patience": _HASTY, **changed}
        yield Host(root=root, client=client, **fields)


def snapshot(path: Path) -> dict[str, str]:
    """Return every entry below `path` with what it is and holds, to compare trees by."""
    found = {}
    for entry in sorted(path.rglob("*")):
        name = str(entry.relative_to(path))
        if entry.is_symlink():
            found[name] = f"-> {entry.readlink()}"
        elif entry.is_dir():
            found[name] = "directory"
        else:
            digest = hashlib.sha256(entry.read_bytes()).hexdigest()
            found[name] = f"{entry.stat().st_mode & 0o7777:o} {digest}"
    return found
