"""Serves a registry's directory over HTTP: registry.json, its signature, and the archives that it names; nothing else.

Read-only. ETag and If-None-Match, Range and If-Range, so that clients ask again cheaply and go on with what broke off.
Invariant: no path leads out of the directory, through a link, or to a file that the registry does not name.
"""

import hashlib
import os
import re
import stat
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from api.packages import registry_json, signing
from api.packages.findings import Refused

_COPY_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class RegistryServer(ThreadingHTTPServer):
    """A server of one registry, bound when it is made; `serve_forever` serves, `shutdown` ends that."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, directory: Path, host: str, port: int) -> None:
        """Bind to `host` and `port`; 0 takes any. Raises OSError; Refused, there is no registry in `directory`."""
        registry_json.read(registry_json.read_bytes(directory / registry_json.FILE))
        self.directory = directory
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """Where its registry.json is."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}/{registry_json.FILE}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away."""

    def may_serve(self, path: str) -> bool:
        """Say whether `path` is the registry's, or an archive that it names now."""
        if path in (registry_json.FILE, registry_json.FILE + signing.SUFFIX):
            return True
        try:
            document = registry_json.read(registry_json.read_bytes(self.directory / registry_json.FILE))
        except Refused:
            return False
        return any(
            isinstance(fields, dict) and registry_json.local_file(str(fields.get("download_url", ""))) == path
            for versions in document["runtimes"].values()
            if isinstance(versions, dict)
            for fields in versions.values()
        )


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """Return first byte and length of what a Range header asks for, None where the whole is to be sent.

    >>> byte_range("bytes=2-5", 10), byte_range("bytes=-3", 10), byte_range("bytes=4-", 10), byte_range("lines=1", 10)
    ((2, 4), (7, 3), (4, 6), None)

    Raises:
        ValueError: it asks for what is not there.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        count = min(int(match[2]), size)
        first, last = size - count, size - 1
    else:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
        if match[2] and int(match[2]) < first:
            return None
    if first >= size or last < first:
        raise ValueError(header)
    return first, last - first + 1


class _Handler(BaseHTTPRequestHandler):
    server: RegistryServer
    protocol_version = "HTTP/1.1"
    server_version = "runwright"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: what is served is public."""

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path).removeprefix("/")
        descriptor = _open_below(self.server.directory, path) if self.server.may_serve(path) else None
        if descriptor is None:
            self._say(HTTPStatus.NOT_FOUND, with_body=with_body)
            return
        try:
            self._send(descriptor, path, with_body=with_body)
        finally:
            os.close(descriptor)

    def _send(self, descriptor: int, path: str, *, with_body: bool) -> None:
        size, tag = os.fstat(descriptor).st_size, _tag(descriptor)
        if self.headers.get("If-None-Match") and tag in self.headers["If-None-Match"]:
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.send_header("ETag", tag)
            self.end_headers()
            return
        wanted = self.headers.get("Range", "")
        if self.headers.get("If-Range", tag) != tag:
            wanted = ""
        try:
            part = byte_range(wanted, size)
        except ValueError:
            self._say(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{size}"}, with_body=with_body
            )
            return
        first, length = part or (0, size)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK)
        if part:
            self.send_header("Content-Range", f"bytes {first}-{first + length - 1}/{size}")
        self.send_header("Content-Type", "application/json" if path.endswith(".json") else "application/octet-stream")
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", tag)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if with_body:
            self._copy(descriptor, first, length)

    def _copy(self, descriptor: int, first: int, length: int) -> None:
        while length and (piece := os.pread(descriptor, min(length, _COPY_BYTES), first)):
            self.wfile.write(piece)
            first, length = first + len(piece), length - len(piece)
        if length:
            self.close_connection = True  # The file was cut short meanwhile: what was promised cannot be sent.

    def _say(self, status: HTTPStatus, headers: dict[str, str] | None = None, *, with_body: bool) -> None:
        body = f"{status.phrase}\n".encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Type": "text/plain"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


def _open_below(directory: Path, path: str) -> int | None:
    """Open a regular file below `directory`, no link followed; None if there is none."""
    *parents, name = path.split("/")
    try:
        at = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for part in parents:
            below = os.open(part, _DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        found = os.open(name, _FILE, dir_fd=at)
    except OSError:
        return None
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        return None
    return found


def _tag(descriptor: int) -> str:
    """Return the ETag of a file: files here are replaced whole, never changed in place."""
    status = os.fstat(descriptor)
    text = f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
