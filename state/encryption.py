"""Objects of confidential kinds, encrypted on their way into the journal and decrypted on their way out.

Here: the file of keys, the seal of one row's text, and putting all seals under a new key. Never here: which kinds are
confidential (`api/kinds.py`), nor SQL.
Invariants: the text of a confidential object is in no file but sealed; a seal that was made for another object, or
changed in any bit, is refused; a key is on the disk before anything is sealed with it; and where there are seals but
not their key, nothing is made up: the store is not opened.

AES-256 in GCM with a random nonce; sealed along are kind, namespace, name and uid of the object, so that no row can be
passed off as another object's. The newest key seals, all open.
"""

import base64
import binascii
import os
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from api import kinds
from api.errors import ServiceUnavailable
from api.meta import ObjectKey
from state import journal
from state.connection import StoreFileError, open_file, transaction

_MARK = "sealed:1:"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_BYTES = 8
_OURS_TO_READ = 0o600
_CONFIDENTIAL = frozenset(kind.name for kind in kinds.KINDS if kind.confidential)


def is_confidential(kind: str) -> bool:
    """Whether the texts of objects of a kind are to be sealed."""
    return kind in _CONFIDENTIAL


class Keyring:
    """Keys by their ids, oldest first. All methods may be called from any thread."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Seal with the last of `keys`; there is at least one."""
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self._newest = list(keys)[-1]

    @property
    def newest(self) -> str:
        """The id of the key that seals."""
        return self._newest

    def begin(self, fresh: Mapping[str, bytes]) -> None:
        """Seal with the one key of `fresh` from now on, which is in the file already; the others open as before."""
        self._ciphers = self._ciphers | {name: AESGCM(key) for name, key in fresh.items()}
        self._newest = list(fresh)[-1]

    def is_newest(self, stored: str | None) -> bool:
        """Return whether a text of a confidential object is sealed with the newest key, or there is none."""
        return stored is None or stored.startswith(f"{_MARK}{self._newest}:")

    def seal(self, key: ObjectKey, uid: str, text: str) -> str:
        """Return `text` as it is stored, if it is of a confidential object; else as it is."""
        if not is_confidential(key.kind):
            return text
        nonce, name = os.urandom(_NONCE_BYTES), self._newest
        sealed = self._ciphers[name].encrypt(nonce, text.encode(), _bound_to(key, uid))
        return f"{_MARK}{name}:{uid}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, key: ObjectKey, stored: str) -> str:
        """Return what was sealed.

        Raises:
            ServiceUnavailable: it was sealed with a key that is not here, for another object, or was changed.
        """
        if not is_confidential(key.kind):
            return stored
        try:
            name, uid, sealed = stored.removeprefix(_MARK).split(":")
            raw, cipher = base64.b64decode(sealed, validate=True), self._ciphers[name]
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound_to(key, uid)).decode()
        except KeyError:
            raise _unreadable(key, "its key is not in the file of keys: put the file back that has it") from None
        except (ValueError, binascii.Error, InvalidTag):
            raise _unreadable(key, "it was changed, or is another object's: restore a backup") from None


def keys_used(connection: sqlite3.Connection) -> set[str]:
    """Return the ids of the keys with which something in the store is sealed."""
    length = len(_MARK) + 2 * _ID_BYTES
    starts = set[str]().union(*(journal.beginnings(connection, kind, length) for kind in _CONFIDENTIAL))
    return {start.removeprefix(_MARK) for start in starts if start.startswith(_MARK)}


def rotate(store: Path) -> int:
    """Put everything confidential in the store, which nobody uses now, under a new key; return how many rows that were.

    The old key is forgotten after that: it is needed for older backups only. Cut off anywhere, it can be done again.

    Raises:
        StoreFileError: the store or the keys cannot be used.
        ServiceUnavailable: something cannot be decrypted.
    """
    path = file_of(store)
    with closing(open_file(store)) as connection:
        load(path, needed=keys_used(connection))
        fresh = new_key()
        save(path, read(path) | fresh)
        keyring = Keyring(read(path))
        with transaction(connection):
            rows = reseal(connection, keyring)
        save(path, fresh)
    return rows


def reseal(connection: sqlite3.Connection, keyring: Keyring, most: int | None = None) -> int:
    """Put what is sealed with another key than the newest under that, `most` rows of it; return how many that were.

    Raises:
        ServiceUnavailable: something cannot be decrypted.
    """
    all_rows = (row for kind in sorted(_CONFIDENTIAL) for row in journal.rows_of(connection, kind))
    old = [row for row in all_rows if not (keyring.is_newest(row.value) and keyring.is_newest(row.old_value))][:most]
    for row in old:
        key = ObjectKey(row.kind, row.namespace, row.name)
        journal.rewrite(connection, row.revision, _again(keyring, key, row.value), _again_if(keyring, key, row))
    return len(old)


def _again(keyring: Keyring, key: ObjectKey, stored: str) -> str:
    return keyring.seal(key, uid_of(stored), keyring.open(key, stored))


def _again_if(keyring: Keyring, key: ObjectKey, row: journal.Row) -> str | None:
    return None if row.old_value is None else _again(keyring, key, row.old_value)


def uid_of(stored: str) -> str:
    """Return the uid of the object that `stored` was sealed for."""
    return stored.removeprefix(_MARK).split(":")[1]


def file_of(store: Path) -> Path:
    """Return where the keys of the store at `store` are: beside it."""
    return store.with_name("secrets.key")


def load(path: Path, *, needed: Iterable[str]) -> Keyring:
    """Return the keys in the file at `path`, which is made, with one key, if it is not there and none is `needed`.

    Raises:
        StoreFileError: it cannot be read, is no such file, is open to others, or lacks a key that is `needed`.
    """
    try:
        keys = _read(path)
    except FileNotFoundError:
        keys = {}
    except OSError as error:
        raise _unusable(path, error.strerror or str(error), "check its owner and the disk") from error
    missing = sorted(set(needed) - set(keys))
    if missing:
        cause = f"it lacks the key {missing[0]}, with which secrets in the store are encrypted"
        raise _unusable(path, cause, "put the file back that has it; it is kept apart from backups of the store")
    if not keys:
        keys = new_key()
        save(path, keys)
    return Keyring(keys)


def new_key() -> dict[str, bytes]:
    """Return a new key under its id."""
    return {secrets.token_hex(_ID_BYTES): secrets.token_bytes(_KEY_BYTES)}


def read(path: Path) -> dict[str, bytes]:
    """Return the keys in the file at `path`, oldest first.

    Raises:
        StoreFileError: it cannot be read, or is no such file.
    """
    try:
        return _read(path)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error), "check its owner and the disk") from error


def save(path: Path, keys: Mapping[str, bytes]) -> None:
    """Put `keys` into the file at `path`, mode 0600, durably and in one step.

    Raises:
        StoreFileError: it cannot be written.
    """
    lines = "".join(f"{name} {base64.b64encode(key).decode()}\n" for name, key in keys.items())
    aside = path.with_name(f".{path.name}.new")
    try:
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OURS_TO_READ)
        with os.fdopen(descriptor, "w") as file:
            file.write(lines)
            file.flush()
            os.fsync(descriptor)
        aside.rename(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error), "check its directory and the disk") from error


def _read(path: Path) -> dict[str, bytes]:
    if path.stat().st_mode & 0o077:
        raise _unusable(path, "others than its owner may open it", f"chmod 600 {path}, and rotate the key")
    keys: dict[str, bytes] = {}
    try:
        for line in path.read_text().splitlines():
            name, key = line.split()
            keys[name] = base64.b64decode(key, validate=True)
    except ValueError:
        raise _unusable(path, "it is not a file of keys", "put the one back that was here") from None
    if not keys or any(len(key) != _KEY_BYTES for key in keys.values()):
        raise _unusable(path, "it is not a file of keys", "put the one back that was here")
    return keys


def _bound_to(key: ObjectKey, uid: str) -> bytes:
    return "\0".join((key.kind, key.namespace, key.name, uid)).encode()


def _unreadable(key: ObjectKey, why: str) -> ServiceUnavailable:
    return ServiceUnavailable(f"cannot decrypt {key}: {why}")


def _unusable(path: Path, cause: str, fix: str) -> StoreFileError:
    return StoreFileError(f"cannot use the keys of secrets in {path}: {cause}: {fix}")
