"""What a Python runtime holds, gathered from the Python that runs this and from the machine around it.

Interpreter, standard library with bytecode, every shared library that these need, the loader, a
shell and the usual small tools. STDLIB ONLY. Never here: writing archives (`pack.py`).
Invariant: the tree is whole: `isolated/` alone, as the root directory, runs Python.
"""

import marshal
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from api.packages.pack import Contents, Link
from controller.runtime.binaries.closure import MissingLibrary, closure

ROOT = "isolated"
_TOOLS = (
    "sh", "bash", "cat", "cp", "mv", "rm", "ls", "ln", "mkdir", "rmdir", "mktemp", "touch", "chmod", "head", "tail",
    "cut", "tr", "sort", "uniq", "wc", "tee", "seq", "dd", "od", "sum", "sha256sum", "md5sum", "base64", "echo",
    "printf", "true", "false", "test", "env", "printenv", "sleep", "date", "id", "whoami", "uname", "hostname", "nproc",
    "stat", "du", "df", "basename", "dirname", "realpath", "readlink", "grep", "sed", "find", "xargs", "timeout", "yes",
    "tar", "gzip", "kill", "ps",
)  # fmt: skip
_TOOL_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
_LEFT_OUT_DIRECTORIES = frozenset({
    "test", "tests", "idle_test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip",
    "site-packages", "dist-packages", "__pycache__",
})  # fmt: skip
_LEFT_OUT_FILES = ("turtle.py", "_tkinter.", "_test", "_ctypes_test", "xxlimited", "xxsubtype", "_xx")
_LEFT_OUT_SUFFIXES = (".a", ".exe", ".pyc", ".o")
# Later formats write down which objects happen to be shared in memory, which differs from run to run.
_MARSHAL = 2
_HASHED_UNCHECKED = (1).to_bytes(4, "little")

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    # Empty, so that a sandbox has something to mount a job's own over.
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/hostname": "",
    "etc/resolv.conf": "",
}


@dataclass(frozen=True, slots=True)
class Gathered:
    """The contents of a runtime, the version of its Python such as 3.11, and the modules that had to be left out."""

    contents: Contents
    python_version: str
    left_out: tuple[str, ...]


def gather() -> Gathered:
    """Collect a Python runtime from this machine.

    Raises:
        MissingLibrary: the interpreter needs a library that is not here.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = _interpreter(version)
    stdlib = Path(sysconfig.get_path("stdlib", vars=_base()))
    platform_stdlib = Path(sysconfig.get_path("platstdlib", vars=_base()))
    contents = Contents()
    for relative, content in FILES.items():
        contents.add(f"{ROOT}/{relative}", content.encode())
    _add_interpreter(contents, interpreter, version)
    extensions = [*_add_library(contents, stdlib, version)]
    if platform_stdlib != stdlib:
        extensions += _add_library(contents, platform_stdlib, version)
    tools = add_tools(contents)
    left_out = add_shared_libraries(contents, [interpreter, *tools], extensions, (Path(sys.base_prefix) / "lib",))
    return Gathered(contents, version, left_out)


def _base() -> dict[str, str]:
    """Return the prefixes of the Python itself, should this one run in a virtual environment."""
    return {
        "base": sys.base_prefix,
        "platbase": sys.base_exec_prefix,
        "installed_base": sys.base_prefix,
        "installed_platbase": sys.base_exec_prefix,
    }


def _interpreter(version: str) -> Path:
    for candidate in (Path(sys.base_exec_prefix) / "bin" / f"python{version}", Path(sys.executable)):
        if candidate.is_file():
            return candidate.resolve()
    raise MissingLibrary(f"cannot find the python{version} of {sys.base_exec_prefix}: install it")


def _add_interpreter(contents: Contents, interpreter: Path, version: str) -> None:
    contents.add(f"{ROOT}/usr/bin/python{version}", interpreter, 0o755)
    contents.add(f"{ROOT}/usr/bin/python3", Link(f"python{version}"))
    contents.add(f"{ROOT}/usr/bin/python", Link("python3"))


def _add_library(contents: Contents, stdlib: Path, version: str) -> Iterator[tuple[str, Path]]:
    """Add the standard library; yield its extension modules, which need libraries, without adding them."""
    target = f"{ROOT}/usr/lib/python{version}"
    for directory, below, files in os.walk(stdlib):
        below[:] = sorted(d for d in below if d not in _LEFT_OUT_DIRECTORIES and not d.startswith("config-"))
        relative = os.path.relpath(directory, stdlib)
        place = target if relative == "." else f"{target}/{relative}"
        for name in sorted(files):
            source = Path(directory, name)
            if name.startswith(_LEFT_OUT_FILES) or name.endswith(_LEFT_OUT_SUFFIXES) or not source.is_file():
                continue
            if name.endswith(".so"):
                yield f"{place}/{name}", source.resolve()
                continue
            contents.add(f"{place}/{name}", source.resolve())
            if name.endswith(".py") and (code := _bytecode(source, f"/{place.partition('/')[2]}/{name}")):
                contents.add(f"{place}/__pycache__/{name[:-3]}.{sys.implementation.cache_tag}.pyc", code)


def _bytecode(source: Path, shown_as: str) -> bytes | None:
    """Return bytecode for `source` that needs no check of its age, which a read-only tree could not repair.

    Source: PEP 552, unchecked hash-based pycs.
    """
    try:
        text = source.read_bytes()
        code = compile(text, shown_as, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):  # Python would not import it either.
        return None
    return util.MAGIC_NUMBER + _HASHED_UNCHECKED + util.source_hash(text) + marshal.dumps(code, _MARSHAL)


def add_tools(contents: Contents) -> list[Path]:
    """Add the shell and tools that this machine has, in /bin and /usr/bin alike."""
    found = []
    for tool in _TOOLS:
        where = shutil.which(tool, path=_TOOL_PATH)
        if where is None:
            continue
        real = Path(where).resolve()
        with real.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        found.append(real)
        for directory in ("bin", "usr/bin"):
            contents.add(f"{ROOT}/{directory}/{tool}", real, 0o755)
    return found


def add_shared_libraries(
    contents: Contents, programs: list[Path], extensions: list[tuple[str, Path]], beside: tuple[Path, ...]
) -> tuple[str, ...]:
    """Add what programs and modules need; return the modules whose libraries are not here.

    `extensions` are modules with the paths that they are added at, `beside` where libraries are looked for first.
    """
    needed = closure(programs, beside)
    libraries, left_out = dict(needed.libraries), []
    for path, source in extensions:
        try:
            libraries.update(closure([source], beside).libraries)
        except MissingLibrary as error:
            left_out.append(f"{Path(path).name}: {error}")
            continue
        contents.add(path, source, 0o755)
    libc = libraries["libc.so.6"].resolve().parent
    # Threads that end early need it, and nothing says so: glibc opens it by name.
    libgcc = libc / "libgcc_s.so.1"
    if libgcc.is_file():
        libraries.setdefault(libgcc.name, libgcc)
    for name, library in libraries.items():
        contents.add(f"{ROOT}{libc}/{name}", library.resolve(), 0o755)
    for name, loader in needed.interpreters.items():
        contents.add(f"{ROOT}{name}", loader.resolve(), 0o755)
    return tuple(left_out)
