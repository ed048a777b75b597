"""Builds runtime packages, and a registry of them, from what this machine has: no network, no root.

    python -m controller.runtime.build.builder --output DIR --versions 1.0.0 1.1.0

Each version says which it is, in the variable RUNTIME_VERSION and in /etc/runtime-version. STDLIB ONLY.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from api.packages import pack
from api.packages.pack import Contents
from controller.registry import platforms
from controller.runtime.binaries.closure import MissingLibrary
from controller.runtime.binaries.elf import NotElf
from controller.runtime.build import python_runtime
from controller.runtime.build.python_runtime import Gathered

_OS_RELEASE = Path("/etc/os-release")
_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Built:
    """A package that was built."""

    name: str
    version: str
    path: Path
    sha256: str
    size_bytes: int


def pack_python(output: Path, versions: Sequence[str], name: str | None = None) -> tuple[Built, ...]:
    """Build a Python runtime in each of `versions` into the directory `output`, with a registry.json.

    `name` is python-X.Y, of the Python that runs this, unless it is given.

    Raises:
        MissingLibrary: the interpreter needs a library that is not here.
    """
    output.mkdir(parents=True, exist_ok=True)
    gathered = python_runtime.gather()
    called = name or f"python-{gathered.python_version}"
    body = pack.write_body(gathered.contents, output / f".{called}.body")
    try:
        built = tuple(_pack_version(output, called, version, gathered, body) for version in versions)
    finally:
        body.path.unlink()
    entries = {one.version: _entry(one, gathered.python_version) for one in built}
    pack.write_registry(output, {called: entries})
    return built


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m controller.runtime.build.builder", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--output", type=Path, required=True, help="directory for the archives and registry.json")
    parser.add_argument("--name", help="name of the runtime (default: python-X.Y of this Python)")
    parser.add_argument("--versions", nargs="+", default=["1.0.0"], help="versions to build (default: 1.0.0)")
    wanted = parser.parse_args(arguments)
    try:
        built = pack_python(wanted.output, wanted.versions, wanted.name)
    except (MissingLibrary, NotElf, OSError) as error:
        sys.stderr.write(f"cannot build the runtime: {error}\n")
        return 1
    for one in built:
        sys.stdout.write(f"{one.path}  {one.size_bytes / (1 << 20):.1f} MiB  sha256:{one.sha256}\n")
    return 0


def _pack_version(output: Path, name: str, version: str, gathered: Gathered, body: pack.Body) -> Built:
    head = Contents()
    head.add("runtime.yml", _manifest(name, version, gathered).encode())
    head.add(f"{python_runtime.ROOT}/etc/runtime-version", f"{name}@{version}\n".encode())
    path = output / f"{name}-{version}.tar.gz"
    sha256, size = pack.write_archive(head, body, path)
    return Built(name, version, path, sha256, size)


def _entry(built: Built, python_version: str) -> dict[str, object]:
    return {
        "version": built.version,
        "description": f"Python {python_version} with its standard library",
        "download_url": built.path.name,
        "checksum": f"sha256:{built.sha256}",
        "size": built.size_bytes,
        "platforms": [_platform()],
    }


def _manifest(name: str, version: str, gathered: Gathered) -> str:
    """Return the runtime.yml; JSON texts are YAML ones too."""
    root = python_runtime.ROOT
    tops = sorted({*gathered.contents.tops(root), "etc"})
    mounts = [f'  - {{source: "{root}/{top}", target: "/{top}", readonly: true}}' for top in tops]
    machine = os.uname().machine
    lines = [
        f"name: {json.dumps(name)}",
        'type: "system"',
        f'version: "{gathered.python_version}"',
        f'description: "Python {gathered.python_version} with its standard library"',
        'language: "python"',
        f'language_version: "{gathered.python_version}"',
        "mounts:",
        *mounts,
        "environment:",
        f'  PATH: "{_PATH}"',
        f"  RUNTIME_VERSION: {json.dumps(version)}",
        '  PYTHONDONTWRITEBYTECODE: "1"',
        "requirements:",
        f'  architectures: ["{machine}", "{platforms.architecture(machine)}"]',
    ]
    return "\n".join(lines) + "\n"


def _platform() -> str:
    text = _OS_RELEASE.read_text() if _OS_RELEASE.exists() else ""
    return platforms.host_platform(text, os.uname().machine)


if __name__ == "__main__":
    sys.exit(main())
