"""A registry of Node packages on this machine, as npm asks for them."""

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from support.hostile_server import HostileServer
from support.python_index import serving


@dataclass(frozen=True)
class NodePackage:
    """A package, and what it needs by name."""

    name: str
    version: str
    needs: Mapping[str, str] = field(default_factory=dict)
    binary: bool = False

    @property
    def about(self) -> dict[str, object]:
        """Its package.json."""
        commands = {"bin": {self.name: "index.js"}} if self.binary else {}
        return {"name": self.name, "version": self.version, "main": "index.js", "dependencies": self.needs, **commands}

    @property
    def data(self) -> bytes:
        """Its archive, the same each time; its module knows its version, and says it where it is run."""
        text = f'#!/usr/bin/env node\nmodule.exports = "{self.version}";\n'
        text += "if (require.main === module) console.log(module.exports);\n"
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in {"package.json": json.dumps(self.about), "index.js": text}.items():
                entry = tarfile.TarInfo(f"package/{name}")
                entry.size, entry.mode = len(content), 0o755
                archive.addfile(entry, io.BytesIO(content.encode()))
        return buffer.getvalue()

    @property
    def integrity(self) -> str:
        return f"sha512-{base64.b64encode(hashlib.sha512(self.data).digest()).decode()}"


@contextmanager
def a_node_registry(*offered: NodePackage, lie: str = "") -> Iterator[HostileServer]:
    """Serve them for as long as the block runs. Of the package `lie`, the archive is another than its hash says."""
    answers: dict[str, bytes] = {}
    with serving(answers) as server:
        for name in {each.name for each in offered}:
            versions = {each.version: each for each in offered if each.name == name}
            described = {version: _described(each, server.url) for version, each in versions.items()}
            text = {"name": name, "dist-tags": {"latest": list(versions)[-1]}, "versions": described}
            answers[f"/{name}"] = json.dumps(text).encode()
        for each in offered:
            answers[_path(each)] = each.data + (b"\0" * 1024 if each.name == lie else b"")
        yield server


def _described(package: NodePackage, url: str) -> dict[str, object]:
    shasum = hashlib.sha1(package.data, usedforsecurity=False).hexdigest()
    dist = {"tarball": f"{url}{_path(package)}", "integrity": package.integrity, "shasum": shasum}
    return {**package.about, "dist": dist}


def _path(package: NodePackage) -> str:
    return f"/{package.name}/-/{package.name}-{package.version}.tgz"
