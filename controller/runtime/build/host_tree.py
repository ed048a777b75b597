"""What a runtime is made of when it is made from this host: interpreter, libraries by ELF closure, the usual tools.

Reads the host, writes nothing. Python is gathered from the Python that runs this; Java, Node and Go from where they
are installed. Never here: writing the tree (`fill.py`).
Invariant: the tree is whole, or gathering fails with what is missing and the package that has it.
"""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from api.packages.pack import Contents, Link
from controller.engine.errors import TerminalError
from controller.runtime.binaries.closure import MissingLibrary
from controller.runtime.build import language, python_runtime
from controller.runtime.build.commands import BUILD_FAILED
from controller.runtime.build.python_runtime import ROOT

PROGRAMS = "/usr/local/bin:/usr/bin:/bin:/usr/local/go/bin:/usr/lib/go/bin"
_CERTIFICATES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
_JAVA_KEY_STORE = Path("/etc/ssl/certs/java/cacerts")
_ASK_SECONDS = 30
_ELF = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class Gathered:
    """What to write, by path, and the language's version; `left_out` are modules whose libraries are missing."""

    contents: Contents
    version: str
    left_out: tuple[str, ...] = ()


def gather(named: str | None, version: str, path: str = PROGRAMS) -> Gathered:
    """Collect the language `named`, or just the usual tools; its program is looked for in `path`.

    Raises:
        TerminalError: BuildFailed, it is not on this host, or not in this version.
    """
    try:
        gathered = _gather(named, path)
    except MissingLibrary as error:
        raise TerminalError(BUILD_FAILED, f"cannot build from this host: {error}") from error
    if not language.satisfies(version, gathered.version):
        raise TerminalError(
            BUILD_FAILED,
            f"cannot build from this host: it has {named} {gathered.version}, not {version}: "
            f"ask for that, or use base.from debian",
        )
    return gathered


def _gather(named: str | None, path: str) -> Gathered:
    if named == "python":
        return _python()
    contents = Contents()
    for relative, text in python_runtime.FILES.items():
        contents.add(f"{ROOT}/{relative}", text.encode())
    if named in (None, language.STATIC):
        left_out = python_runtime.add_shared_libraries(contents, python_runtime.add_tools(contents), [], ())
        return Gathered(contents, "", left_out)
    _add_certificates(contents)
    adders = {"java": _add_java, "node": _add_node, "go": _add_go}
    return adders[str(named)](contents, _program(str(named), path))


def _python() -> Gathered:
    found = python_runtime.gather()
    _add_certificates(found.contents)
    return Gathered(found.contents, platform.python_version(), found.left_out)


def _add_java(contents: Contents, program: Path) -> Gathered:
    home = program.parent.parent
    modules = _add_directory(contents, home)
    for name in sorted(os.listdir(home / "bin")):
        contents.add(f"{ROOT}/usr/bin/{name}", Link(f"{home}/bin/{name}"))
    if _JAVA_KEY_STORE.is_file():
        contents.add(f"{ROOT}{_JAVA_KEY_STORE}", _JAVA_KEY_STORE)
    beside = (home / "lib", home / "lib/server")
    left_out = python_runtime.add_shared_libraries(contents, python_runtime.add_tools(contents), modules, beside)
    return Gathered(contents, _ask(program, "-version", r'version "([0-9][0-9.]*)'), left_out)


def _add_node(contents: Contents, program: Path) -> Gathered:
    contents.add(f"{ROOT}/usr/bin/node", program, 0o755)
    tools = python_runtime.add_tools(contents)
    left_out = python_runtime.add_shared_libraries(contents, [program, *tools], [], (program.parent.parent / "lib",))
    return Gathered(contents, _ask(program, "--version", r"v([0-9.]+)"), left_out)


def _add_go(contents: Contents, program: Path) -> Gathered:
    home = program.parent.parent
    modules = _add_directory(contents, home)
    for name in sorted(os.listdir(home / "bin")):
        contents.add(f"{ROOT}/usr/bin/{name}", Link(f"{home}/bin/{name}"))
    left_out = python_runtime.add_shared_libraries(contents, python_runtime.add_tools(contents), modules, ())
    return Gathered(contents, _ask(program, "version", r"go([0-9][0-9.]*)"), left_out)


def _add_directory(contents: Contents, top: Path) -> list[tuple[str, Path]]:
    """Add the directory `top` at its own place; return its ELF files, which are left to be added with their libraries.

    Links that leave it are replaced by what they lead to, or left out where that is nothing.
    """
    modules = []
    for directory, below, files in os.walk(top):
        below.sort()
        links = [name for name in below if Path(directory, name).is_symlink()]
        for name in sorted((*files, *links)):
            source = Path(directory, name)
            target = f"{ROOT}{source}"
            real = source.resolve()
            if source.is_symlink() and top in real.parents:
                contents.add(target, Link(os.readlink(source)))
            elif real.is_file() and _is_elf(real):
                modules.append((target, real))
            elif real.is_file():
                contents.add(target, real, 0o755 if os.access(real, os.X_OK) else 0o644)
    return modules


def _add_certificates(contents: Contents) -> None:
    """Add the certificates of the authorities that this host trusts, where OpenSSL looks for them."""
    for bundle in _CERTIFICATES:
        if bundle.is_file():
            contents.add(f"{ROOT}/etc/ssl/certs/ca-certificates.crt", bundle)
            contents.add(f"{ROOT}/usr/lib/ssl/cert.pem", Link("/etc/ssl/certs/ca-certificates.crt"))
            return


def _program(name: str, path: str) -> Path:
    where = shutil.which(name, path=path)
    if where is None:
        package = language.LANGUAGES[name].host
        raise TerminalError(
            BUILD_FAILED, f"cannot build from this host: it has no {name}: install {package}, or use base.from debian"
        )
    return Path(where).resolve()


def _ask(program: Path, argument: str, pattern: str) -> str:
    """Return the version that `program` says it is."""
    asked = subprocess.run(  # noqa: TID251 - the host's own program, asked for nothing but its version
        [program, argument], capture_output=True, text=True, timeout=_ASK_SECONDS, check=False, env={"PATH": PROGRAMS}
    )
    match = re.search(pattern, asked.stdout + asked.stderr)
    if match is None:
        raise TerminalError(BUILD_FAILED, f"cannot build from this host: {program} does not say its version")
    return match[1]


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ELF)) == _ELF


def find_pip(library: Iterable[Path]) -> Path | None:
    """Return a pip that any Python can run as `python PATH/pip`: a wheel, as ensurepip and Debian have one."""
    for directory in library:
        found = sorted(directory.glob("pip-*.whl"))
        if found:
            return found[-1]
    return None
