"""What of an archive was seen so far: of each entry its kind and its content's sha256, by a hash of its path.

An archive's names may be many and long, and all of them be kept in next to no archive: so they are not kept.
Invariants: an entry takes some 140 bytes, whatever its name is. The hashes have a key of their own each time, so
nobody can make up names that have the same; of half a million, two do once in ten million archives, which is refused.
"""

import os
import secrets
from array import array
from enum import StrEnum
from hashlib import blake2b
from typing import Protocol

from api.packages import names

_SHA256_BYTES = 32
_HASH_BITS = 60  # What an int has in 32 bytes.


class Kind(StrEnum):
    """What an entry may be."""

    DIRECTORY = "directory"
    FILE = "file"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"


_KINDS = tuple(Kind)
_WITH_CONTENT = (Kind.FILE, Kind.HARDLINK)


class Digests(Protocol):
    """The sha256 of files by path, as far as they are known: a dict is one."""

    def get(self, path: str, /) -> bytes | None:
        """Return that of the file `path`, or None."""
        ...


class Seen:
    """The entries of one archive so far. Each is in it under what its name has in common with those like it.

    Directories that differ in case or Unicode form only may meet; the second is in it under its very name.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)
        self._places: dict[int, int] = {}
        self._paths = array("Q")
        self._kinds = bytearray()
        self._digests = bytearray()
        self._top: str | None = None
        self._has_one_top = True
        self._last = ("", self._hash(""), self._hash(""))

    def __len__(self) -> int:
        return len(self._paths)

    def kind(self, path: str) -> Kind | None:
        """Return what the entry `path` is, or None if there is none."""
        place = self._place(path)
        return None if place is None else _KINDS[self._kinds[place]]

    def kind_alike(self, path: str) -> Kind | None:
        """Return what the first entry is whose path is `path`, or differs in case or Unicode form only; or None."""
        place = self._places.get(self._hashes(path)[1])
        return None if place is None else _KINDS[self._kinds[place]]

    def add(self, path: str, kind: Kind) -> None:
        """Take up an entry that is not in it."""
        place = len(self._paths)
        exact, folded = self._hashes(path)
        if self._places.setdefault(folded, place) != place:
            self._places[~exact] = place
        self._paths.append(exact)
        self._kinds.append(_KINDS.index(kind))
        self._digests += bytes(_SHA256_BYTES)
        top = path.partition("/")[0]
        self._has_one_top = self._has_one_top and self._top in (None, top)
        self._top = top

    def set_content(self, path: str, sha256: bytes) -> None:
        """Note what a file that is in it holds."""
        place = self._place(path)
        if place is None:
            raise KeyError(path)
        self._digests[place * _SHA256_BYTES : (place + 1) * _SHA256_BYTES] = sha256

    def get(self, path: str, /) -> bytes | None:
        """Return the sha256 of the file `path`, or None if there is none."""
        place = self._place(path)
        if place is None or _KINDS[self._kinds[place]] not in _WITH_CONTENT:
            return None
        return bytes(self._digests[place * _SHA256_BYTES : (place + 1) * _SHA256_BYTES])

    def only_top(self) -> str | None:
        """Return the one top-level entry if it is a directory, all else lying in it."""
        return self._top if self._has_one_top and self._top and self.kind(self._top) is Kind.DIRECTORY else None

    def _place(self, path: str) -> int | None:
        exact, folded = self._hashes(path)
        place = self._places.get(folded)
        if place is not None and self._paths[place] == exact:
            return place
        return self._places.get(~exact)

    def _hashes(self, path: str) -> tuple[int, int]:
        """Return the hash of a path, and that of what those like it share; kept: it is asked for several times."""
        if self._last[0] != path:
            self._last = (path, self._hash(path), self._hash(names.folded(path)))
        return self._last[1:]

    def _hash(self, path: str) -> int:
        digest = blake2b(os.fsencode(path), digest_size=8, key=self._key).digest()
        return int.from_bytes(digest) >> (64 - _HASH_BITS)


class Below:
    """The digests of what lies in one directory, by path in it."""

    def __init__(self, digests: Digests, directory: str) -> None:
        self._digests = digests
        self._prefix = f"{directory}/"

    def get(self, path: str, /) -> bytes | None:
        """Return that of the file `path`, or None."""
        return self._digests.get(self._prefix + path)
