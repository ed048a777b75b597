"""npm, run in the root that is built: packages into /usr/local/lib/node_modules, their commands into /usr/local/bin.

What npm keeps of how it found them, it keeps in package-lock.json: the archives' hashes are taken from there. Never
here: npm's own packages, which stay in the root.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from controller.engine.errors import TerminalError
from controller.linux.bounded import read_bounded
from controller.runtime.build import beneath, carry
from controller.runtime.build.commands import BUILD_FAILED, Bench, Command, Share
from controller.runtime.build.lock import Fetched

TOOLS = ("npm",)
"""The Debian packages that the build needs for it."""

WORK = "/build/npm"
PREFIX = "/usr/local/lib"
LEFT_BEHIND = frozenset({f"{PREFIX[1:]}/package.json", f"{PREFIX[1:]}/package-lock.json"})
"""What npm leaves that no job needs."""

_MOST_BYTES = 64 << 20
_NAME = re.compile(r"(?:@[a-z0-9][a-z0-9._~-]*/)?[a-z0-9][a-z0-9._~-]*(?:@[\w.^~<>=*|& +-]+)?", re.IGNORECASE)
_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "npm_config_cache": "/tmp/npm",
    "SOURCE_DATE_EPOCH": str(carry.FIXED_TIME),
}
_SCRIPT = r"""
set -eu
prefix=$1
shift
mkdir -p "$prefix/node_modules" /usr/local/bin
echo '{}' > "$prefix/package.json"
npm install --prefix "$prefix" --no-audit --no-fund --no-update-notifier --omit=dev --save-exact \
  --loglevel=error -- "$@"
cp "$prefix/package-lock.json" /build/npm/
cd "$prefix/node_modules/.bin" 2> /dev/null || exit 0
for command in *; do
  ln -sf "$prefix/node_modules/.bin/$command" "/usr/local/bin/$command"
done
"""


def check(asked: tuple[str, ...]) -> None:
    """Refuse what is no NAME or NAME@VERSION.

    Raises:
        TerminalError: BuildFailed.
    """
    for text in asked:
        if not _NAME.fullmatch(text):
            raise TerminalError(BUILD_FAILED, f'cannot install "{text}" with npm: write NAME or NAME@VERSION')


def refuse_without_node(language: str | None, apt: Iterable[str]) -> None:
    """Refuse a tree of files of this host or of Debian's that will have no Node to run its packages.

    Raises:
        TerminalError: BuildFailed.
    """
    if language != "node" and not any(name.partition("=")[0] == "nodejs" for name in apt):
        why = "the tree has no Node: set base.language to node, or name nodejs in apt"
        raise TerminalError(BUILD_FAILED, f"cannot install the Node packages: {why}")


def install(bench: Bench, root: Path, work: Path, asked: tuple[str, ...]) -> Fetched:
    """Install `asked` and what it needs into `root`; return npm's hash of each package's archive by its directory.

    Loose is what has none, as what comes from a repository of git.
    Raises:
        TransientError, TerminalError: BuildFailed, with npm's own words.
    """
    check(asked)
    work.mkdir()
    argv = ("/bin/sh", "-c", _SCRIPT, "npm", PREFIX, *asked)
    command = Command(argv, root=root, env=_ENV, writable=(Share(work, WORK),), network=True)
    bench.do("install the Node packages", command)
    return _fetched(work / "package-lock.json", root)


def _fetched(lock: Path, root: Path) -> Fetched:
    """Return what npm says of what it installed; of some of it that it is not for this platform, and was not."""
    try:
        packages = json.loads(read_bounded(lock, _MOST_BYTES)).get("packages", {})
        told = {path: entry for path, entry in packages.items() if path}
        hashes = {path: str(entry.get("integrity", "")) for path, entry in told.items()}
        unbound = [path for path, entry in told.items() if not hashes[path] and not entry.get("inBundle")]
        scripted = [path for path, entry in told.items() if entry.get("hasInstallScript")]
        loose = [f"npm {_said(path, told[path])}, which has no hash" for path in unbound if _is_there(root, path)]
        scripts = [f"npm {_said(path, told[path])}" for path in scripted if _is_there(root, path)]
    except FileNotFoundError:
        return Fetched()
    except OSError as error:
        raise _no_lock(error.strerror or "it cannot be read") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _no_lock("it is not of npm's form") from error
    return Fetched(hashes, tuple(sorted(loose)), tuple(sorted(scripts)))


def _said(path: str, entry: Mapping[str, object]) -> str:
    return f"{entry.get('name') or path.rpartition('node_modules/')[2]} {entry.get('version', '')}".strip()


def _is_there(root: Path, path: str) -> bool:
    """Say whether something is at `path` of npm's lock; where it leads away nobody knows, and it counts as there."""
    try:
        return beneath.status(root, f"{PREFIX[1:]}/{path}") is not None
    except (TerminalError, OSError):
        return True


def _no_lock(why: str) -> TerminalError:
    return TerminalError(BUILD_FAILED, f"cannot read what npm says that it has installed: package-lock.json: {why}")
