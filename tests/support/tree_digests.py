"""The digest of a tree by its definition in the documents, written a second time and in another way."""

import hashlib
import os
from pathlib import Path
from urllib.parse import quote


def digest_of(tree: Path) -> str:
    """Return the sha256 of the list of `tree`."""
    lines = [
        _line(tree, path) for path in sorted(tree.rglob("*"), key=lambda path: [os.fsencode(p) for p in path.parts])
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _line(tree: Path, path: Path) -> str:
    name = _quoted(str(path.relative_to(tree)))
    if path.is_symlink():
        return f"l {name} {_quoted(os.readlink(path))}\n"
    if path.is_dir():
        return f"d {name}\n"
    kind = "x" if path.stat().st_mode & 0o111 else "f"
    return f"{kind} {hashlib.sha256(path.read_bytes()).hexdigest()} {name}\n"


def _quoted(text: str) -> str:
    return quote(os.fsencode(text), safe="_.-~/+:,=@")
