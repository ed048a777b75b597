"""Secrets and ConfigMaps as people send them, and looking for a text in files."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.meta import Document

PASSWORD = "correct-horse-battery-staple"
"""A value that no file and no message may have in it, in any encoding."""


def a_secret(name: str = "db", *, metadata: Document | None = None, **fields: Any) -> Document:
    """Return a Secret's document; without fields it has one value, PASSWORD, under `password`."""
    body = fields or {"stringData": {"password": PASSWORD}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, **(metadata or {})}, **body}


def a_config_map(name: str = "settings", *, metadata: Document | None = None, **fields: Any) -> Document:
    """Return a ConfigMap's document; without fields it has `level: debug`."""
    body = fields or {"data": {"level": "debug"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **(metadata or {})}, **body}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def files_with(directory: Path, text: str = PASSWORD) -> list[str]:
    """Return the names of the files below `directory` that have `text` in them, plain or in base64 at any offset."""
    return sorted(str(path.relative_to(directory)) for path in _files(directory) if shows(path.read_bytes(), text))


def shows(content: bytes | str, text: str = PASSWORD) -> bool:
    """Whether `text` is in `content`, plain or in base64 at any offset."""
    raw = content.encode() if isinstance(content, str) else content
    return any(form in raw for form in _forms(text))


def _forms(text: str) -> Iterator[bytes]:
    yield text.encode()
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + text.encode())
        yield encoded[4 if offset else 0 : -4]  # What is the same whatever is before and after it.


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
