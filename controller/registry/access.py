"""With what right a registry's server is asked: a bearer token, sent to the registry's own origin and nowhere else.

Invariants: the token is read when it is needed and kept nowhere; it is in no message, object or log; a redirect, a
mirror or an address in a catalogue that leads elsewhere does not carry it along; it goes over no network in clear
text. Whoever may write Registry objects has no other file and variable sent than those put there to be sent.
"""

import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from api.types.registry import TOKEN_PREFIX
from controller.engine.errors import TransientError
from controller.linux import openat2
from controller.linux.openat2 import Resolve

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=:@!#$%&*^|-]{1,8192}")
_MOST_BYTES = 8192
_PORTS = {"http": 80, "https": 443}
_OTHERS = stat.S_IRWXO | stat.S_IWGRP
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Access:
    """Where a registry's token is found, and the one origin that it is for. Without either, nothing is sent."""

    origin: tuple[str, str, int] | None = None
    token_file: str = ""
    token_env: str = ""

    def headers(self, url: str, directory: Path | None) -> Mapping[str, str]:
        """Return the headers that go with a request for `url`; tokens are in files beneath `directory`.

        Raises:
            TransientError: CredentialsUnusable, there is no token, not one that only root can change and see, or none
                that may be sent.
        """
        if not (self.token_file or self.token_env) or self.origin is None or origin_of(url) != self.origin:
            return {}
        if self.origin[0] != "https" and not _is_this_host(self.origin[1]):
            raise _unusable("a token is sent by https only, and by http to this host itself")
        token = _from_file(self.token_file, directory) if self.token_file else _from_environment(self.token_env)
        return {"Authorization": f"Bearer {token}"}


ANYONE = Access()
"""The right of one who has no token."""


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an http(s) URL; None for all others.

    >>> origin_of("https://Example.org/x") == origin_of("https://example.org:443/y")
    True
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port


def _is_this_host(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _from_environment(name: str) -> str:
    if not name.startswith(TOKEN_PREFIX):
        raise _unusable(f"the variable {name} is none of those for tokens: they begin with {TOKEN_PREFIX}")
    token = os.environ.get(name)  # noqa: TID251  Which variable it is, a Registry says, at any time.
    if not token:
        raise _unusable(f"the environment variable {name} of the daemon is not set")
    return _checked(token, f"the environment variable {name}")


def _from_file(path: str, directory: Path | None) -> str:
    if directory is None or not path.startswith(f"{directory}/"):
        raise _unusable(f"{path} is not beneath {directory}: put it there, or change runtime.credentials_directory")
    try:
        descriptor = _open_beneath(directory, path.removeprefix(f"{directory}/"))
        try:
            _refuse_open_to_others(path, os.fstat(descriptor))
            text = os.read(descriptor, _MOST_BYTES + 2).decode("ascii", "replace")
        finally:
            os.close(descriptor)
    except OSError as error:
        why = "it leads out of its directory" if error.errno in (errno.EXDEV, errno.ELOOP) else error.strerror
        raise _unusable(f"cannot read {path}: {why}") from error
    return _checked(text.rstrip("\r\n"), path)


def _open_beneath(directory: Path, path: str) -> int:
    root = os.open(directory, _DIRECTORY)
    try:
        found = os.fstat(root)
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _unusable(f"others may change {directory}: chown it to root and chmod it to 0700")
        how = Resolve.BENEATH | Resolve.NO_MAGICLINKS
        return openat2.open_in_root(root, path.lstrip("/"), os.O_RDONLY | os.O_NONBLOCK, resolve=how)
    finally:
        os.close(root)


def _refuse_open_to_others(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _unusable(f"{path} is no file")
    if found.st_uid not in (0, os.geteuid()):
        raise _unusable(f"{path} belongs to uid {found.st_uid}: chown it to root")
    if found.st_mode & _OTHERS:
        raise _unusable(f"others may read or change {path}: chmod it to 0600")


def _checked(token: str, where: str) -> str:
    """Return `token`; nothing of it is told where it is none, as that may be another secret."""
    if not _TOKEN.fullmatch(token):
        raise _unusable(f"what {where} holds is no bearer token: it must be one line of printable characters")
    return token


def _unusable(why: str) -> TransientError:
    return TransientError("CredentialsUnusable", f"cannot use the registry's credentials: {why}")
