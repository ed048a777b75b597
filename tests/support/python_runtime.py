"""A real runtime with this host's own Python, a shell and what they need, as somebody else's installer would leave it."""

import os
import shutil
from pathlib import Path

from controller.runtime.binaries.closure import closure

PYTHON = shutil.which("python3", path="/usr/bin:/bin")
_TOOLS = ("sh", "cat")
_LEFT_OUT = ("test", "dist-packages", "idlelib", "tkinter", "lib2to3", "ensurepip", "config-*", "__pycache__")


def python_tree(path: Path, name: str) -> Path:
    """Write the runtime at `path`."""
    program = Path(str(PYTHON)).resolve()
    library = Path(f"/usr/lib/{program.name}")
    isolated = path / "isolated"
    (isolated / "usr/bin").mkdir(parents=True)
    shutil.copy(program, isolated / "usr/bin/python3")
    tools = [Path(str(shutil.which(tool))).resolve() for tool in _TOOLS]
    for tool, found in zip(_TOOLS, tools, strict=True):
        shutil.copy(found, isolated / "usr/bin" / tool)
    shutil.copytree(
        library, isolated / library.relative_to("/"), ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True
    )
    needed = closure([program, *tools, *library.glob("lib-dynload/*.so")])
    libc = needed.libraries["libc.so.6"].resolve().parent
    places = {f"{libc}/{name}": found for name, found in needed.libraries.items()}
    for place, found in (places | needed.interpreters).items():
        target = isolated / str(place).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(found.resolve(), target)
    (isolated / "etc").mkdir()
    mounts = [f"  - {{source: isolated/{top}, target: /{top}}}" for top in sorted(os.listdir(isolated))]
    mounts.append("  - {source: isolated/usr/bin, target: /bin}")
    (path / "runtime.yml").write_text("\n".join([f"name: {name}", "version: 3.11", "mounts:", *mounts, ""]))
    os.sync()
    return path
