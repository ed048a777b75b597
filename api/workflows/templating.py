"""The variables of a job in Joblet's files: `${NAME}` in their values, and which of them are secrets. Pure.

A value may name other variables of the same job in any order, and stays as it is where it names something else, which a
shell in the job may know. Invariant: what comes out does not depend on the order of anything.
"""

import re
from collections.abc import Collection, Mapping

from api import cycles

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_ENDS = ("_TOKEN", "_KEY", "_PASSWORD", "_SECRET")
_SECRET_NAMES = ("TOKEN", "PASSWORD", "SECRET")


class BadTemplate(ValueError):
    """Variables stand for each other; the message names them."""


def looks_secret(name: str) -> bool:
    """Whether a variable is taken for a secret by its name.

    >>> [looks_secret(name) for name in ("API_KEY", "SECRET_URL", "db_password", "KEYBOARD", "PORT")]
    [True, True, True, False, False]
    """
    upper = name.upper()
    return upper.startswith("SECRET_") or upper.endswith(_SECRET_ENDS) or upper in _SECRET_NAMES


def references(value: str) -> frozenset[str]:
    """Return the names that a value refers to."""
    return frozenset(match[1] for match in _REFERENCE.finditer(value) if match[1])


def resolved(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with each `${NAME}` of another one replaced by that one's value; `$${` is a plain `${`.

    >>> resolved({"BIN": "${BASE}/bin", "BASE": "/opt/${APP}", "APP": "x", "SAID": "$${BASE} ${HOME}"})
    {'BIN': '/opt/x/bin', 'BASE': '/opt/x', 'APP': 'x', 'SAID': '${BASE} ${HOME}'}

    Raises:
        BadTemplate: some stand for each other.
    """
    needs = {name: sorted(references(value) & variables.keys()) for name, value in variables.items()}
    if cycle := cycles.first(needs):
        raise BadTemplate(f"{' is made of '.join(f'${{{name}}}' for name in cycle)}: write one of them out")
    known: dict[str, str] = {}
    for name in _in_order(needs):
        known[name] = _REFERENCE.sub(lambda match: _replacement(match, known), variables[name])
    return {name: known[name] for name in variables}


def _replacement(match: re.Match[str], known: Mapping[str, str]) -> str:
    return known.get(match[1], match[0]) if match[1] else "${"


def _in_order(needs: Mapping[str, Collection[str]]) -> list[str]:
    """Return the names, each after those it needs; there is no cycle."""
    done: dict[str, None] = {}
    going = list(needs)
    while going:
        name = going[-1]
        missing = [other for other in needs[name] if other not in done]
        if missing:
            going += missing
        else:
            done[going.pop()] = None
    return list(done)


def secrets(variables: Mapping[str, str], also: Collection[str] = ()) -> frozenset[str]:
    """Return the names of those that are secrets: by their names, those of `also`, and those that have one in them."""
    found = {name for name in variables if looks_secret(name) or name in also}
    while more := {name for name, value in variables.items() if name not in found and references(value) & found}:
        found |= more
    return frozenset(found)
