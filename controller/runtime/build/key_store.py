"""Java's store of certificates, without the times at which they were put into it: same certificates, same bytes.

Pure: takes the bytes. Source: OpenJDK, sun.security.provider.JavaKeyStore (the format JKS, version 2).
Invariant: what is not understood to the last byte is returned as it is.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass

PASSWORD = "changeit"
"""What Java and Debian protect a store by that has no secrets in it."""

_HEAD = struct.Struct(">III")
_MAGIC, _VERSION = 0xFEEDFEED, 2
_CERTIFICATE = 2
_DIGEST_BYTES = 20
_SALT = b"Mighty Aphrodite"


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    alias: bytes
    kind: bytes
    certificate: bytes


def timeless(store: bytes, time_seconds: int) -> bytes:
    """Return `store` with its certificates in the order of their names, and all of one time."""
    body, digest = store[:-_DIGEST_BYTES], store[-_DIGEST_BYTES:]
    try:
        if not hmac.compare_digest(_digest(body), digest):
            return store
        entries = _read(body)
    except (struct.error, ValueError):
        return store
    time = struct.pack(">Q", time_seconds * 1000)
    parts = [_HEAD.pack(_MAGIC, _VERSION, len(entries))]
    for entry in sorted(entries):
        parts += [struct.pack(">I", _CERTIFICATE), _text(entry.alias), time, _text(entry.kind)]
        parts += [struct.pack(">I", len(entry.certificate)), entry.certificate]
    written = b"".join(parts)
    return written + _digest(written)


def _read(body: bytes) -> list[_Entry]:
    magic, version, count = _HEAD.unpack_from(body)
    if (magic, version) != (_MAGIC, _VERSION):
        raise ValueError("it is of another format")
    at = _HEAD.size
    entries = []
    for _ in range(count):
        if body[at : at + 4] != struct.pack(">I", _CERTIFICATE):
            raise ValueError("it holds more than certificates")
        alias, at = _take(body, at + 4, ">H")
        kind, at = _take(body, at + 8, ">H")
        certificate, at = _take(body, at, ">I")
        entries.append(_Entry(alias, kind, certificate))
    if at != len(body):
        raise ValueError("something follows its last certificate")
    return entries


def _take(body: bytes, at: int, size: str) -> tuple[bytes, int]:
    """Return the bytes whose number is before them at `at`, and where they end."""
    (length,) = struct.unpack_from(size, body, at)
    start = at + struct.calcsize(size)
    if start + length > len(body):
        raise ValueError("it ends early")
    return body[start : start + length], start + length


def _text(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def _digest(body: bytes) -> bytes:
    return hashlib.sha1(PASSWORD.encode("utf-16-be") + _SALT + body, usedforsecurity=False).digest()
