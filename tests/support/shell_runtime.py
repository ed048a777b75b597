"""Small real runtimes: a shell, a few tools and the libraries they need, taken from this machine."""

import functools
import io
import os
import shutil
import tarfile
import zlib
from pathlib import Path

from controller.runtime.binaries.closure import closure
from support.registry_fixtures import a_file, a_symlink

_TOOLS = ("sh", "cat", "ls", "touch", "sleep", "env", "mkdir", "id")
MOUNTED = ("bin", "lib", "lib64", "usr", "etc")

Entries = tuple[tuple[tarfile.TarInfo, bytes], ...]


@functools.cache
def _programs() -> Entries:
    """The tools in isolated/bin, and their libraries where the loader looks for them."""
    paths = {tool: Path(str(shutil.which(tool))).resolve() for tool in _TOOLS}
    needed = closure(paths.values())
    entries = {f"isolated/bin/{tool}": path for tool, path in paths.items()}
    libc = needed.libraries["libc.so.6"].resolve().parent
    entries |= {f"isolated{libc}/{name}": path for name, path in needed.libraries.items()}
    entries |= {f"isolated{name}": path for name, path in needed.interpreters.items()}
    return tuple(a_file(name, path.resolve().read_bytes(), 0o755) for name, path in sorted(entries.items()))


def _manifest(name: str, more_mounts: str, more: str) -> bytes:
    present = {entry.name.split("/")[1] for entry, _ in _programs()} | {"etc"}
    mounts = [f"  - {{source: isolated/{top}, target: /{top}}}" for top in MOUNTED if top in present]
    return "\n".join([f"name: {name}", "version: 3.10", "mounts:", *mounts, more_mounts, more, ""]).encode()


def shell_package(
    name: str, version: str, *more: tuple[tarfile.TarInfo, bytes], mounts: str = "", rest: str = ""
) -> bytes:
    """Return the archive of a runtime with a shell, whose /etc/version says which it is.

    `mounts` are further lines of its list of mounts, `rest` what else its runtime.yml says.
    """
    entries = (
        a_file("runtime.yml", _manifest(name, mounts, rest)),
        a_file("isolated/etc/version", f"{name}@{version}\n".encode()),
        *_programs(),
        a_symlink("isolated/bin/shell", "sh"),
        *more,
    )
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(plain.getvalue()) + packer.flush()


def shell_tree(path: Path, name: str, version: str = "unknown") -> Path:
    """Write such a runtime at `path`, as somebody else's installer would."""
    path.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(shell_package(name, version)), mode="r:gz") as tar:
        # Our own archive. Before 3.11.4 there are no filters, from 3.12 on it warns if none is named.
        tar.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
        tar.extractall(path)
    os.sync()
    return path
