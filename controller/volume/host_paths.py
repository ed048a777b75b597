"""Directories of the host as volumes: which of them a namespace may have, and what is there.

Invariant: no symbolic link leads out of the directory that the policy names, whenever it is planted.
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass

from controller.linux import openat2

ANY_NAMESPACE = "*"


@dataclass(frozen=True, slots=True)
class HostPlace:
    """A directory of the host: `path` in `within`, which nothing in it may lead out of, and who owns it."""

    within: str
    path: str
    host_uid: int
    host_gid: int


def allowed(policy: Mapping[str, tuple[str, ...]], namespace: str, path: str) -> str:
    """Return the directory of the policy that `path` is at or below; empty if there is none. Pure.

    >>> policy = {"*": ("/srv/data",)}
    >>> allowed(policy, "team", "/srv/data/sets"), allowed(policy, "team", "/srv/database")
    ('/srv/data', '')
    """
    named = (*policy.get(namespace, ()), *policy.get(ANY_NAMESPACE, ()))
    found = [place for place in named if path == place or path.startswith(f"{place.rstrip('/')}/")]
    return max(found, key=len, default="")


def look(within: str, path: str) -> HostPlace:
    """Return the directory at `path`, whose symbolic links are followed inside `within` only.

    Raises:
        OSError: there is none.
    """
    root_fd = os.open(within, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        below = path[len(within.rstrip("/")) :].strip("/") or "."
        fd = openat2.open_in_root(root_fd, below, os.O_PATH | os.O_DIRECTORY)
        try:
            found = os.fstat(fd)
        finally:
            os.close(fd)
    finally:
        os.close(root_fd)
    return HostPlace(within, below, found.st_uid, found.st_gid)


def why_not(place: HostPlace, *, read_only: bool) -> str:
    """Return why a run cannot have it so; empty if it can. Pure.

    >>> why_not(HostPlace("/srv", "data", 1000, 1000), read_only=False)
    ''
    """
    if read_only or (place.host_uid and place.host_gid):
        return ""
    owner = "its files would be root's on this host, and programs that run as root among them"
    return (
        f"a job may not write to {place.within}/{place.path}: {owner}: chown it to a user and group that are not root"
    )


def told(path: str, error: OSError) -> str:
    """Return why a directory cannot be looked at, for people."""
    cause = {errno.ENOENT: "there is no such directory", errno.ENOTDIR: "it is no directory"}
    return f"cannot use {path}: {cause.get(error.errno or 0, error.strerror)}: make it, or name another in a new volume"
