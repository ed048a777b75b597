"""Which inputs of a declared build are bound to no one content: what another day's build may take another one of.

Debian packages and those of npm are bound by their exact version, Python's by that and one hash; names alone, ranges,
what is needed by what was asked for and was not named itself, and the files of this host are not. Pure.
Never here: what pip and npm said of what they installed (`source.Made`).
"""

import re
from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from api import runtime_spec
from api.types.runtime_sources import BuildSource
from controller.runtime.build.lock import Package
from controller.runtime.build.roots import DEBIAN as DEBIAN_BASE
from controller.runtime.build.roots import HOST
from controller.runtime.locked import DEBIAN, NODE, PYTHON, Locked

_HASH = re.compile(r"\s+--hash=\S+")
_EXACT = ("==", "===")


def unpinned(build: BuildSource, inside: Locked, inherited: Locked) -> tuple[str, ...]:
    """Return what is not pinned of a build that made what `inside` says; `inherited` is its base's, a runtime's."""
    found = []
    if build.base.from_ == HOST:
        found.append("the files of this host that it begins with")
    elif build.base.from_ != DEBIAN_BASE and not is_exact(build.base.from_):
        found.append(f"its base {build.base.from_}")
    found += [f"apt {p.name} {p.version}" for p in _new(DEBIAN, inside, inherited) if not _is_apt(p, build.apt)]
    found += _of_pip(build.pip, _new(PYTHON, inside, inherited))
    found += _of_npm(build.npm, _new(NODE, inside, inherited))
    return tuple(dict.fromkeys(found))


def is_exact(spec: str) -> bool:
    """Say whether the spec of a runtime names one version.

    >>> is_exact("python@3.11.4"), is_exact("python@^3"), is_exact("python")
    (True, False, False)
    """
    return runtime_spec.is_version(spec.partition("@")[2])


def _new(group: str, inside: Locked, inherited: Locked) -> tuple[Package, ...]:
    before = {(p.name, p.version) for p in inherited.of(group)}
    return tuple(p for p in inside.of(group) if (p.name, p.version) not in before)


def _is_apt(package: Package, asked: Iterable[str]) -> bool:
    return f"{package.name}={package.version}" in asked


def _of_pip(asked: Iterable[str], packages: tuple[Package, ...]) -> list[str]:
    """Return what is loose of pip's: only its packages have a hash in the lock, those of Debian and the host none."""
    pins = {text: _pin_of(text) for text in asked}
    loose = [text for text, pin in pins.items() if pin is None]
    told = {_name_of(text) for text in loose}
    exact = [pin for pin in pins.values() if pin is not None]
    more = [
        f"{p.name} {p.version}"
        for p in packages
        if p.sha256 and canonicalize_name(p.name) not in told and not any(_is_pinned(p, pin) for pin in exact)
    ]
    return [f"pip {each}" for each in (*map(_with_few_hashes, loose), *more)]


def _name_of(text: str) -> str:
    return canonicalize_name(re.split(r"[\s\[=<>!~;@]", text.strip(), maxsplit=1)[0])


def _pin_of(text: str) -> Requirement | None:
    """Return a requirement that has one version and one hash; None if it may mean several contents."""
    try:
        wanted = Requirement(_HASH.sub("", text))
    except InvalidRequirement:
        return None
    is_exact = any(s.operator in _EXACT and not s.version.endswith("*") for s in wanted.specifier)
    return wanted if is_exact and len(set(_HASH.findall(text))) == 1 else None


def _is_pinned(package: Package, pin: Requirement) -> bool:
    """Say whether `package` is what `pin` means: 1.0 and 1.0.0 are the same version."""
    if canonicalize_name(package.name) != canonicalize_name(pin.name):
        return False
    try:
        return pin.specifier.contains(package.version, prereleases=True)
    except InvalidVersion:
        return any(s.version == package.version for s in pin.specifier)


def _with_few_hashes(text: str) -> str:
    hashes = len(set(_HASH.findall(text)))
    return text if hashes <= 1 else f"{_HASH.sub('', text)} (one of {hashes} hashes)"


def _of_npm(asked: Iterable[str], packages: tuple[Package, ...]) -> list[str]:
    named = dict(_npm_parts(text) for text in asked)
    loose = {name: version for name, version in named.items() if not runtime_spec.is_version(version)}
    more = [
        f"{p.name} {p.version}" for p in packages if p.sha256 and p.name not in loose and named.get(p.name) != p.version
    ]
    return [f"npm {each}" for each in (*(f"{n}@{v}" if v else n for n, v in loose.items()), *more)]


def _npm_parts(text: str) -> tuple[str, str]:
    scope, name = ("@", text[1:]) if text.startswith("@") else ("", text)
    name, _, version = name.partition("@")
    return scope + name, version
