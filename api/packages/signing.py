"""Signatures of registries: `registry.json.sig` is the base64 of an ed25519 signature over the file's very bytes.

Two files cannot be replaced at one instant, so it may have several lines: the signature of the registry.json that is
coming, and that of the one before. One of them must be good. A public key is the base64 of its 32 raw bytes, and so is
a private key, in a file that only its owner may read. The only importer of `cryptography` here.
"""

import base64
import binascii
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from api.packages.findings import Refused

SUFFIX = ".sig"
_PUBLIC = ".pub"
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_MOST_SIGNATURES = 8


def generate(path: Path) -> str:
    """Write a new private key to `path` and its public key to `path`.pub; return the public key.

    Raises:
        Refused: one of the files is there already, or cannot be written.
    """
    private = Ed25519PrivateKey.generate()
    public = _text(private.public_key().public_bytes_raw())
    _write_new(path, _text(private.private_bytes_raw()), 0o600)
    try:
        _write_new(path.with_name(f"{path.name}{_PUBLIC}"), public, 0o644)
    except Refused:
        path.unlink()
        raise
    return public


def private_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in the file `path`. Raises Refused: it cannot be read, or others may read it."""
    try:
        text = path.read_text("ascii", "replace")
        mode = path.stat().st_mode
    except OSError as error:
        raise Refused(f"cannot read the key {path}: {error.strerror}: rnx registry keygen makes one") from None
    if path.suffix == _PUBLIC:
        private = path.with_suffix("")
        give = f"give the private one, {private}" if private.is_file() else "give the private one"
        raise Refused(f"cannot use the key {path}: it is a public key, and signs nothing: {give}")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Refused(f"cannot use the key {path}: others may read it: chmod 600 {path}")
    return Ed25519PrivateKey.from_private_bytes(_bytes(text, _KEY_BYTES, f"the key {path}"))


def public_key(text: str, called: str = "the public key") -> Ed25519PublicKey:
    """Return the public key written as base64. Raises Refused, in which it is `called` so."""
    raw = _bytes(text, _KEY_BYTES, called)
    try:
        return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError as error:
        raise Refused(f"cannot use {called}: {error}") from None


def sign(body: bytes, key: Ed25519PrivateKey) -> str:
    """Return the signature over `body`, as it is written to a file."""
    return _text(key.sign(body))


def verify(body: bytes, signature: str, key: Ed25519PublicKey) -> None:
    """Return if `signature`, or a line of it, is `key`'s over `body`. Raises Refused if none is."""
    lines = signature.split("\n", _MOST_SIGNATURES)[:_MOST_SIGNATURES]
    signatures = [_bytes(line, _SIGNATURE_BYTES, "the signature") for line in lines if line.strip()]
    if not any(_is_good(each, body, key) for each in signatures):
        raise Refused("the signature is not this key's over these bytes" if signatures else "the signature is empty")


def _is_good(signature: bytes, body: bytes, key: Ed25519PublicKey) -> bool:
    try:
        key.verify(signature, body)
    except InvalidSignature:
        return False
    return True


def _write_new(path: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise Refused(f"cannot write {path}: it is there already, and a key is never written over") from None
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror}") from None
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(descriptor)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str, size: int, what: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != size:
        raise Refused(f"cannot use {what}: it must be the base64 of {size} bytes")
    return raw
