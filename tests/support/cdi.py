"""CDI specs of harmless devices, for hosts that have no others."""

import json
from pathlib import Path
from typing import Any

from api.meta import Document

KIND = "example.com/zero"


def a_node(path: str, host_path: str = "/dev/zero", **fields: Any) -> Document:
    """A device node of a container: reading it gives zeros."""
    return {"path": path, "hostPath": host_path, "fileMode": 0o660, **fields}


def a_device(name: str, *nodes: Document, **edits: Any) -> Document:
    """A device with these nodes; without any, one of its own below /dev/test."""
    given = list(nodes) or [a_node(f"/dev/test/{name}")]
    return {"name": name, "containerEdits": {"deviceNodes": given, **edits}}


def a_spec(*devices: Document, kind: str = KIND, version: str = "0.8.0", **edits: Any) -> Document:
    """A spec of these devices; `edits` are for all of them."""
    common = {"containerEdits": edits} if edits else {}
    return {"cdiVersion": version, "kind": kind, "devices": list(devices), **common}


def write(directory: Path, name: str, spec: Document) -> Path:
    """Put a spec into a CDI directory, in one instant, as vendors' tools do."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    aside = directory / f".{name}.new"
    aside.write_text(json.dumps(spec))
    aside.chmod(0o644)
    return aside.rename(directory / name)
