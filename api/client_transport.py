"""How requests reach runwrightd: its address, one HTTP connection pool, refusals turned back into errors.

Here: transport and the meaning of failures. Never here: what a verb does (`api/client.py`).
Invariant: a caller sees an `api.errors` class, `Unreachable`, or an answer; never an httpx exception.
"""

import json
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from api import client_parts, errors, kubeconfigs
from api.client_parts import FilePart
from api.errors import About, ApiError, Cause
from api.kubeconfigs import BadKubeconfig, Credentials

DEFAULT_SOCKET = Path("/run/runwright/api.sock")
SOCKET_BELOW_ROOT = "run/runwright/api.sock"
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
_LONGEST_SOCKET_PATH = 107  # sizeof(sockaddr_un.sun_path) - 1: unix(7).


class Unreachable(ConnectionError):
    """Nobody answers at the address, or the connection broke and could not be made again."""


class BadAddress(Exception):
    """The address of the server cannot be read."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the API is: a unix socket, or a URL and perhaps what proves there who asks."""

    socket: Path | None
    url: str
    credentials: Credentials | None = None

    def __str__(self) -> str:
        """Print as a person would write it."""
        return f"unix://{self.socket}" if self.socket else self.url

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `unix:///path`, `http://host:port`, `https://host`, or the path of a socket.

        Raises:
            BadAddress: it is none of these.
        """
        if text.startswith("/"):
            return cls.of_socket(Path(text))
        parts = urlsplit(text)
        if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/"):
            return cls.of_socket(Path(parts.path))
        if parts.scheme in ("http", "https") and parts.netloc:
            return cls(None, text.rstrip("/"))
        raise BadAddress(f'cannot read "{text}" as a server: use unix:///PATH or http://HOST:PORT')

    @classmethod
    def of_kubeconfig(cls, path: Path) -> Self:
        """Return the server that the current context of a kubeconfig names. Raises BadAddress."""
        try:
            credentials = kubeconfigs.read(path)
        except BadKubeconfig as error:
            raise BadAddress(str(error)) from error
        return cls(None, credentials.server, credentials)

    @classmethod
    def of_root(cls, root: Path) -> Self:
        """Return the address of the daemon that runs with `--root root`. Raises BadAddress."""
        return cls.of_socket(root.absolute() / SOCKET_BELOW_ROOT)

    @classmethod
    def of_socket(cls, path: Path) -> Self:
        """Return the address of the unix socket at `path`. Raises BadAddress if the path is too long for one."""
        if len(bytes(path)) > _LONGEST_SOCKET_PATH:
            raise BadAddress(
                f"cannot use the socket {path}: its path is over {_LONGEST_SOCKET_PATH} bytes: use a shorter --root"
            )
        return cls(path, "http://runwright")


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: its code, its JSON, and the server's warnings."""

    code: int
    document: dict[str, Any]
    warnings: tuple[str, ...] = ()


class Transport:
    """Sends requests to one address; safe to use from several threads."""

    def __init__(self, address: Address, user_agent: str) -> None:
        """Prepare to talk to `address`; connects with the first request."""
        self.address = address
        proof = address.credentials
        token = {"Authorization": f"Bearer {proof.token}"} if proof and proof.token else {}
        self._headers = {"User-Agent": user_agent, "Accept": "application/json", **token}
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(address.socket)) if address.socket else None,
            base_url=address.url,
            verify=context_of(proof) if proof else True,
            headers=self._headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            trust_env=address.socket is None,
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | Sequence[str]] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Answer:
        """Send one request, its body as JSON unless it is bytes, and return its answer.

        Raises:
            ApiError: the server refused; the class says why.
            Unreachable: nobody answered.
        """
        self._require_socket()
        headers = {"Accept": accept} | ({"Content-Type": content_type} if body is not None else {})
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            response = self._http.request(method, path, params=dict(params or {}), content=content, headers=headers)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise error_of(response.status_code, response.content)
        return Answer(response.status_code, _json(response.content), _warnings(response.headers.get_list("Warning")))

    def text(self, path: str) -> str:
        """Return the plain text at `path`. Raises ApiError, Unreachable."""
        self._require_socket()
        try:
            response = self._http.get(path, headers={"Accept": "*/*"})
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise error_of(response.status_code, response.content)
        return response.text

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        params: Mapping[str, str],
        accept: str,
        silence_seconds: float | None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Iterator[bytes]]:
        """Open a long answer and give its bytes as they come; `silence_seconds` None waits for ever.

        Raises:
            ApiError: the server refused.
            Unreachable: the connection could not be made, or broke.
            Silence: nothing came for `silence_seconds`.
        """
        self._require_socket()
        timeout = httpx.Timeout(silence_seconds, connect=CONNECT_SECONDS)
        try:
            with self._http.stream(
                "GET", path, params=dict(params), headers={"Accept": accept, **(headers or {})}, timeout=timeout
            ) as response:
                if response.is_error:
                    raise error_of(response.status_code, response.read())
                yield response.iter_raw()
        except httpx.ReadTimeout as error:
            raise Silence(f"nothing came for {silence_seconds} s") from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def upload(
        self,
        path: str,
        params: Mapping[str, str],
        content: Iterable[bytes],
        content_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a long body by PUT, as it comes. Raises ApiError, Unreachable."""
        self._require_socket()
        said, timeout = {"Content-Type": content_type, **(headers or {})}, httpx.Timeout(None, connect=CONNECT_SECONDS)
        try:
            response = self._http.put(path, params=dict(params), content=iter(content), headers=said, timeout=timeout)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise error_of(response.status_code, response.content)
        return Answer(response.status_code, _json(response.content))

    def upload_part(self, path: str, part: FilePart, content_type: str, headers: Mapping[str, str]) -> Answer:
        """Send a part of a file by PUT. Raises ApiError, Unreachable, Shorter; OSError if the file cannot be read."""
        said = {"Content-Length": str(part.end - part.offset), **headers}
        if self.address.socket is None:
            return self.upload(path, {}, part.pieces(), content_type, said)
        self._require_socket()
        try:
            connection = client_parts.connected(self.address.socket, CONNECT_SECONDS)
        except OSError as error:
            raise self._not_there((error.strerror or str(error)).lower()) from error
        try:
            said = {**self._headers, "Content-Type": content_type, **said}
            code, body = client_parts.put(connection, path, said, part)
        except (ConnectionError, HTTPException) as error:
            raise self._broken(error) from error
        if code >= HTTPStatus.BAD_REQUEST:
            raise error_of(code, body)
        return Answer(code, _json(body))

    def _require_socket(self) -> None:
        if self.address.socket and not self.address.socket.exists():
            raise self._not_there("there is no such socket")

    def _unreachable(self, error: httpx.HTTPError) -> Unreachable:
        cause = str(error) or type(error).__name__
        if name_error := _of_the_name(error):
            host = urlsplit(self.address.url).hostname
            why = f"the name {host} cannot be looked up now: is there a network?"
            if name_error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
                why = f"the name {host} is not known: check it, or name another with --server or --host"
            return Unreachable(f"cannot reach {self.address}: {why}")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return self._not_there((cause.partition("] ")[2] or cause).lower())
        return self._broken(error)

    def _broken(self, error: Exception) -> Unreachable:
        cause = str(error).partition("] ")[2] or str(error) or type(error).__name__
        return Unreachable(f"cannot talk to {self.address}: {cause.rstrip('.')}: did runwrightd stop? Try again")

    def _not_there(self, why: str) -> Unreachable:
        fix = "is runwrightd running? Start it, or name another with --server or --root"
        return Unreachable(f"cannot reach {self.address}: {why}: {fix}")


def _of_the_name(error: BaseException | None) -> socket.gaierror | None:
    """Return the failure to look up a name that is behind `error`, if that is what it is."""
    while error is not None and not isinstance(error, socket.gaierror):
        error = error.__cause__ or error.__context__
    return error


def context_of(credentials: Credentials) -> ssl.SSLContext:
    """Return the client's side of TLS that a kubeconfig asks for. Raises BadAddress if its certificates are none."""
    try:
        return credentials.context()
    except (ssl.SSLError, ValueError) as error:
        raise BadAddress(f"cannot use the kubeconfig: its certificates cannot be read: {error}") from error


class Silence(Exception):
    """A stream was silent for longer than the caller allows; the server may be well."""


def error_of(code: int, body: bytes) -> ApiError:
    """Return the error that a Status body, or failing that the HTTP code, stands for.

    >>> type(error_of(404, b"404 page not found")).__name__
    'NotFound'
    """
    status = _json(body) if body.lstrip()[:1] == b"{" else {}
    reason, details = status.get("reason", ""), status.get("details") or {}
    about = About(details.get("group", ""), details.get("kind", ""), details.get("name", ""), details.get("uid", ""))
    causes = [Cause(c.get("field", ""), c.get("reason", ""), c.get("message", "")) for c in details.get("causes") or ()]
    text = status.get("message") or body.decode("utf-8", "replace").strip()[:300] or f"the server answered {code}"
    known = _by_reason().get(reason) or _by_code().get(code) or ApiError
    error = known(text, about, causes)
    error.code, error.reason = code, reason or known.reason
    error.retry_after_seconds = details.get("retryAfterSeconds")
    return error


def _classes() -> list[type[ApiError]]:
    return [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, ApiError) and c is not ApiError]


def _by_reason() -> dict[str, type[ApiError]]:
    return {known.reason: known for known in _classes()}


def _by_code() -> dict[int, type[ApiError]]:
    return {known.code: known for known in _classes()}


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _warnings(headers: list[str]) -> tuple[str, ...]:
    """Return the texts of `299 - "text"` headers. Source: RFC 7234, 5.5."""
    quoted = (header.partition(' "')[2] for header in headers)
    return tuple(text[:-1].replace('\\"', '"').replace("\\\\", "\\") for text in quoted if text)
