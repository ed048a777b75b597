"""pip, run in the root that is built, by the very interpreter that will use what it installs.

So versions and platforms are right by themselves, and source packages are built where they can do no harm. pip
itself is not left behind unless it was asked for. Requirements are parsed here first, so that
none of them is an option of pip.
Never here: which Python it is (`host_tree.py`, `debian.py`).
"""

import json
import re
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from controller.engine.errors import TerminalError
from controller.linux.bounded import read_bounded
from controller.runtime.build import beneath, carry, host_tree, python_replaced
from controller.runtime.build.commands import BUILD_FAILED, Bench, Command, Share
from controller.runtime.build.lock import Fetched

TOOLS = ("python3-pip",)
"""The Debian packages that the build needs for it."""

COMPILER = ("build-essential", "python3-dev")
"""The Debian packages that are added where a package comes as source that must be compiled."""

WORK = "/build/pip"
_NEEDS_COMPILER = re.compile(
    r"failed[ -]building|failed to build|metadata-generation-failed|subprocess-exited-with-error"
    r"|legacy-install-failure|error originates from a subprocess"
)
_HASH = re.compile(r"\s+--hash=(sha(?:256|384|512):[0-9a-fA-F]+)")
_WHEELS = Path("/usr/share/python-wheels")
_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "SOURCE_DATE_EPOCH": str(carry.FIXED_TIME),
}
_COMPILE = r"""
import importlib.util, marshal, os, sys
for top in sys.argv[1:]:
    for directory, below, files in os.walk(top):
        below.sort()
        if "__pycache__" in below:
            below.remove("__pycache__")
        for name in sorted(files):
            if not name.endswith(".py"):
                continue
            path = os.path.join(directory, name)
            try:
                with open(path, "rb") as file:
                    text = file.read()
                head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(text)
                target = importlib.util.cache_from_source(path)
                if os.path.exists(target):
                    with open(target, "rb") as file:
                        if file.read(len(head)) == head:
                            continue
                code = compile(text, path, "exec", dont_inherit=True)
            except (SyntaxError, ValueError, OSError, RecursionError):
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(head + marshal.dumps(code, 2))
"""
"""Bytecode that needs no check of its age, the same for the same source (PEP 552; marshal 2 shares no references).

What is of the source that is there is kept.
"""


def requirements(asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lines for pip, after a look at each.

    >>> requirements(("numpy >=1.26", "six==1.16.0 --hash=sha256:ab"))
    ('numpy>=1.26', 'six==1.16.0 --hash=sha256:ab')

    Raises:
        TerminalError: BuildFailed, one is no requirement.
    """
    return tuple(_line(text) for text in asked)


def _line(text: str) -> str:
    hashes = _HASH.findall(text)
    try:
        wanted = Requirement(_HASH.sub("", text))
    except InvalidRequirement as error:
        why = str(error).partition("\n")[0]
        raise TerminalError(BUILD_FAILED, f'cannot install "{text}" with pip: it is no requirement: {why}') from error
    return " ".join((str(wanted), *(f"--hash={each}" for each in hashes)))


def install(bench: Bench, root: Path, work: Path, python: str, asked: tuple[str, ...]) -> Fetched:
    """Install `asked` and what it needs into `root`; return the sha256 of each package's archive by its name.

    Loose is what came as source: what builds it, and what it is built against, has no hash.
    `work` is a new directory for what the command is given and leaves; `python` is the interpreter inside.

    Raises:
        TransientError, TerminalError: BuildFailed, with pip's own words.
    """
    lines = requirements(asked)
    work.mkdir(exist_ok=True)
    (work / "requirements.txt").write_text("\n".join(lines) + "\n")
    hashed = ("--require-hashes",) if any("--hash=" in line for line in lines) else ()
    command = Command(
        (
            python, *_pip(root), "install", "--ignore-installed", "--no-cache-dir", "--no-compile", "--prefer-binary",
            "--progress-bar", "off", "--no-warn-script-location", "--no-input", *hashed,
            "--report", f"{WORK}/report.json", "--requirement", f"{WORK}/requirements.txt",
        ),
        root=root, env=_ENV, writable=(Share(work, WORK),), network=True, readable=_pip_share(root),
    )  # fmt: skip
    before = python_replaced.look(root)
    bench.do("install the Python packages", command)
    python_replaced.remove(bench, root, python, before)
    return _fetched(work / "report.json")


def needs_compiler(error: TerminalError) -> bool:
    """Say whether pip failed to build a package, as it does without a compiler."""
    return _NEEDS_COMPILER.search(error.message.lower()) is not None


def compile_all(bench: Bench, tree: Path, python: str, tops: tuple[str, ...]) -> None:
    """Compile what is below `tops` in the finished tree.

    Raises:
        TransientError, TerminalError: BuildFailed, the interpreter does not run.
    """
    argv = (python, "-I", "-S", "-c", _COMPILE, *tops)
    bench.do("compile the Python packages", Command(argv, root=tree, env=_ENV))


def _pip(root: Path) -> tuple[str, ...]:
    """Return how pip is started: the root's own, or that of a wheel of this host."""
    return (f"/build/wheels/{_wheel().name}/pip",) if _needs_a_wheel(root) else ("-m", "pip")


def _pip_share(root: Path) -> tuple[Share, ...]:
    return (Share(_wheel().parent, "/build/wheels"),) if _needs_a_wheel(root) else ()


def _needs_a_wheel(root: Path) -> bool:
    return not any(
        beneath.is_directory(root, f"usr/lib/{name}/dist-packages/pip")
        for name in beneath.names(root, "usr/lib")
        if name.startswith("python3") and beneath.is_directory(root, f"usr/lib/{name}")
    )


def _wheel() -> Path:
    stdlib = Path(sysconfig.get_path("stdlib"))
    found = host_tree.find_pip((stdlib / "ensurepip/_bundled", _WHEELS))
    if found is None:
        why = "this host has no pip that can be used: install python3-pip-whl, or use base.from debian"
        raise TerminalError(BUILD_FAILED, f"cannot install the Python packages: {why}")
    return found


def _fetched(report: Path) -> Fetched:
    """Return what pip says of the archives that it installed."""
    try:
        text = read_bounded(report)
    except FileNotFoundError:
        return Fetched()
    except OSError as error:
        raise _no_report(error.strerror or "it cannot be read") from error
    hashes, loose = dict[str, str](), list[str]()
    try:
        for entry in json.loads(text)["install"]:
            told = entry.get("download_info", {})
            name, version = str(entry["metadata"]["name"]), str(entry["metadata"].get("version", ""))
            if sha256 := _sha256_of(told.get("archive_info", {})):
                hashes[canonicalize_name(name)] = f"sha256:{sha256}"
            if not urlsplit(str(told.get("url", ""))).path.endswith(".whl"):
                loose.append(f"what pip builds {name} {version} of, which came as source")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _no_report("it is not of pip's form") from error
    return Fetched(hashes, tuple(sorted(loose)))


def _no_report(why: str) -> TerminalError:
    return TerminalError(BUILD_FAILED, f"cannot read what pip says that it has installed: report.json: {why}")


def _sha256_of(archive: Mapping[str, Any]) -> str | None:
    """Return an archive's sha256 as pip tells it: before its release 23.1 as one text, `sha256=HEX`."""
    kind, _, digest = str(archive.get("hash", "")).partition("=")
    found = archive.get("hashes", {}).get("sha256") or (digest if kind == "sha256" else None)
    return None if found is None else str(found)
