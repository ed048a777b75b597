"""A versions.lock held against the tree that it is in, to see whether it is true.

Ours (`build/lock.py`), and those of Joblet's released packages, which told of the machine that packed them. Python and
Node packages are read back from the tree; Debian's leave nothing to read, so what is said of them is only repeated.
Never here: how one is read (`build/lock_reading.py`).
Invariant: a lock that cannot be read, or that names what is not there, is never called true.
"""

from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from api.packages.links import ISOLATED
from api.packages.manifest import InvalidManifest
from api.runtime_spec import shortened
from controller.engine.errors import TerminalError
from controller.linux.bounded import read_bounded
from controller.runtime.build import lock, lock_reading
from controller.runtime.build.lock import Package
from controller.runtime.build.lock_reading import Groups

DEBIAN, PYTHON, NODE = "debian_packages", "python_packages", "node_packages"
_READ_BACK = {PYTHON: lock.python_packages, NODE: lock.node_packages}
_MOST_SHOWN = 3

Versions = set[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Locked:
    """What a versions.lock says, group by group, and `wrong`, how that is not what is in the tree.

    `unsure`: why nobody can tell; empty where it was looked at.
    """

    groups: Groups
    wrong: str = ""
    unsure: str = ""

    def of(self, group: str) -> tuple[Package, ...]:
        """Return the packages of a group."""
        return self.groups.get(group, ())


def read(tree: Path) -> Locked | None:
    """Return what the versions.lock of `tree` says, held against the tree; None if it has none."""
    try:
        groups = lock_reading.parse(read_bounded(tree / lock.NAME))
        isolated = tree / ISOLATED
        is_one = isolated.is_dir() and not isolated.is_symlink()
        return _held_against(groups, isolated if is_one else tree)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, InvalidManifest, TerminalError) as error:
        return Locked({}, f"{lock.NAME} cannot be read: {error}")


def _held_against(groups: Groups, root: Path) -> Locked:
    """Return what a lock says, and what it names that is not in the tree `root`, and the other way round.

    What lies elsewhere than such packages do, as in an environment of venv, it may name or not.
    """
    named = {group: _versions(group, groups[group]) for group in _READ_BACK if group in groups}
    usual = {group: _versions(group, _READ_BACK[group](root, {})) for group in named}
    missing, unsure = {group: named[group] - usual[group] for group in named}, ""
    if any(missing.values()):
        try:
            missing = _nowhere(root, missing)
        except lock.TooLarge as error:
            missing, unsure = {}, f"nobody looked for all that its {lock.NAME} names: {error}"
    said = []
    for group in named:
        said += [f"{_shown(each)} is not in the tree" for each in sorted(missing.get(group, ()))]
        said += [f"{_shown(each)} of the tree is not in it" for each in sorted(usual[group] - named[group])]
    return Locked(groups, _not_true(said) if said else "", unsure)


def _nowhere(root: Path, missing: dict[str, Versions]) -> dict[str, Versions]:
    python, node = lock.everywhere(root)
    found = {PYTHON: python, NODE: node}
    return {group: some - _versions(group, found[group]) for group, some in missing.items()}


def _not_true(said: list[str]) -> str:
    more = f" and {len(said) - _MOST_SHOWN} more" if len(said) > _MOST_SHOWN else ""
    return f"{lock.NAME} is not true: {', '.join(said[:_MOST_SHOWN])}{more}"


def _shown(package: tuple[str, str]) -> str:
    return f"{shortened(package[0])} {shortened(package[1])}"


def _versions(group: str, packages: tuple[Package, ...]) -> Versions:
    return {(canonicalize_name(p.name) if group == PYTHON else p.name, p.version) for p in packages}
