"""Python packages of another version that pip has put new ones over: what was left of the old is removed.

pip is told to ignore what is installed, as that may be there for the build alone; so it removes nothing. A build that
begins with another runtime may install a version in the place of that one's: two would be said to be there.
Never here: packages of Debian's, which lie in another directory, and stay.
"""

import json
from collections.abc import Set
from pathlib import Path

from packaging.utils import canonicalize_name

from controller.runtime.build import lock
from controller.runtime.build.commands import Bench, Command

_INFO = ".dist-info"
_SCRIPT = r"""
import csv, glob, json, os, re, sys
def name_of(path):
    return re.sub(r"[-_.]+", "-", os.path.basename(path).rpartition(".")[0].partition("-")[0]).lower()
def files_of(info):
    top = os.path.dirname(info)
    try:
        with open(info + "/RECORD", encoding="utf-8", newline="") as record:
            return {os.path.normpath(os.path.join(top, row[0])) for row in csv.reader(record) if row}
    except OSError:
        return set()
kept = {os.path.normpath(path) for path in json.loads(sys.argv[1])}
for top in sorted({os.path.dirname(path) for path in kept}):
    infos = glob.glob(glob.escape(top) + "/*.dist-info")
    new = {name_of(path) for path in kept}
    old = [path for path in infos if path not in kept and name_of(path) in new]
    needed = set().union(*(files_of(path) for path in infos if path not in old))
    for info in old:
        for path in sorted(files_of(info) | set(glob.glob(glob.escape(info) + "/**", recursive=True)), reverse=True):
            if path in needed:
                continue
            place, name = os.path.split(path)
            compiled = glob.escape(f"{place}/__pycache__/{name.removesuffix('.py')}") + ".*.pyc"
            for each in [path, *(glob.glob(compiled) if name.endswith(".py") else [])]:
                if os.path.isdir(each) and not os.path.islink(each):
                    os.rmdir(each)
                elif os.path.lexists(each):
                    os.remove(each)
"""
"""Removes what only those packages have that lie beside the named ones and are called as they are."""


def look(root: Path) -> frozenset[str]:
    """Return the directories in which the Python packages of `root` are described."""
    found = (path.rpartition("/")[0] for path in lock.python_metadata(root))
    return frozenset(path for path in found if path.endswith(_INFO))


def remove(bench: Bench, root: Path, python: str, before: Set[str]) -> None:
    """Remove those of `before` that have been replaced since.

    Raises:
        TransientError, TerminalError: BuildFailed, the interpreter does not run.
    """
    new = look(root) - before
    if not {_place_and_name(path) for path in new} & {_place_and_name(path) for path in before}:
        return
    named = json.dumps([f"/{path}" for path in sorted(new)])
    bench.do("remove the Python packages that were replaced", Command((python, "-I", "-S", "-c", _SCRIPT, named), root))


def _place_and_name(path: str) -> tuple[str, str]:
    place, _, name = path.rpartition("/")
    return place, canonicalize_name(name.removesuffix(_INFO).partition("-")[0])
