"""What is different about a tree that was made again from the same declaration: its packages, told by versions.lock.

Builds resolve names such as `numpy` each time they are made, so what is made again may hold others. Never here: making.
Invariant: a tree that is not what it was before is never called the same.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from api.runtime_spec import shortened
from controller.linux.bounded import read_bounded
from controller.runtime.trees.origin import Origin
from controller.runtime.trees.tree import VERSIONS_LOCK

_MOST_SHOWN = 3
_LONGEST = 200
_DIGITS = 12


def told(before: Origin | None, after: Origin, old: Path, new: Path) -> str:
    """Say how the tree `new` differs from `old`, the one of this version until now; empty if it does not.

    A tree that was made of something else is told nothing of: that it differs is what was asked for.
    """
    if before is None or not before.digest or before.digest == after.digest:
        return ""
    if (before.kind, before.fingerprint) != (after.kind, after.fingerprint):
        return ""
    changes = [shortened(each, _LONGEST) for each in differences(_packages(old), _packages(new))]
    more = f" and {len(changes) - _MOST_SHOWN} more" if len(changes) > _MOST_SHOWN else ""
    shown = f": {', '.join(changes[:_MOST_SHOWN])}{more}" if changes else ""
    return f"its content is another than before, digest {after.digest[:_DIGITS]} not {before.digest[:_DIGITS]}{shown}"


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    """Return which packages differ.

    >>> differences({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"})
    ('a 1 is gone', 'b 2 not 1', 'd 1 is new')
    """
    found = []
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            found.append(f"{name} {old[name]} is gone")
        elif name not in old:
            found.append(f"{name} {new[name]} is new")
        elif old[name] != new[name]:
            found.append(f"{name} {new[name]} not {old[name]}")
    return tuple(found)


def _packages(tree: Path) -> dict[str, str]:
    """Return the versions of the packages in `tree`, as its versions.lock has them; what cannot be read has none."""
    found: dict[str, str] = {}
    try:
        text = read_bounded(tree / VERSIONS_LOCK).decode(errors="replace")
        for line in text.splitlines():
            if line.startswith("  - {"):
                package = json.loads(line.removeprefix("  - "))
                found[str(package["name"])] = str(package.get("version", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return found
