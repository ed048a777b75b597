"""How a runtime is named: names, versions and the one grammar of runtime specs.

    python-3.11-ml            a name: its highest version
    python-3.11-ml@1.3.2      a name and an exact version, SemVer 2.0.0, pre-releases and build tags too
    python-3.11-ml@latest     the same as the bare name, and so is `python-3.11-ml@`
    python-3.11-ml@^1.3       a name and a range, as npm writes them: its highest version in the range
    python:3.11+ml            a language, its version and tags: whichever runtime offers them

Pure, and the only module that knows the grammar: admission, the command line, the directories on disk
and the catalogues all come here. Never here: what is installed, and which runtime is chosen.
Invariant: `parse(str(spec)) == spec`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import semantic_version  # type: ignore[import-untyped]

MAX_NAME_LENGTH = 64
LATEST = "latest"

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
# Source: semver.org 2.0.0, "suggested regular expression"; ASCII only, which `\d` alone is not.
_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE_PART = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = r"[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*"
_VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PRE_PART}(?:\.{_PRE_PART})*)?(?:\+{_BUILD})?")
_MAX_VERSION_LENGTH = 128
# Source: github.com/npm/node-semver, "Range Grammar"; a lone partial version is left out: `1.3` reads like one version.
_PART = r"(?:0|[1-9][0-9]*|[xX*])"
_PARTIAL = rf"{_PART}(?:\.{_PART}(?:\.{_PART}(?:-{_PRE_PART}(?:\.{_PRE_PART})*)?(?:\+{_BUILD})?)?)?"
_COMPARATOR = rf"(?:(?:\^|~|>=|<=|>|<|=){_PARTIAL}|{_VERSION.pattern}|(?=[^ ]*[xX*]){_PARTIAL})"
_ALTERNATIVE = re.compile(rf"{_COMPARATOR}(?: {_COMPARATOR})*|{_PARTIAL} - {_PARTIAL}")
_LOOSE_OPERATOR = re.compile(r"(\^|~|>=|<=|>|<|=) +")
_NAMED_PRERELEASE = re.compile(rf"({_NUMBER}\.{_NUMBER}\.{_NUMBER})-")
_RANGE_CHARACTERS = frozenset("^~<>=|*xX ")
_LANGUAGE = re.compile(r"[a-z][a-z0-9]*")
_LANGUAGE_VERSION = re.compile(r"[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*")
_TAG = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")
_DIRECTORY = re.compile(rf"(?P<name>.+)-(?P<version>{_VERSION.pattern})")


class SpecError(ValueError):
    """A text is not a runtime spec, name or version; the message says why and what would be."""


@dataclass(frozen=True, slots=True)
class RuntimeSpec:
    """Which runtime is asked for: by `name` (and perhaps `version` or `range`), or by `language`.

    Exactly one of `name` and `language` is set, and at most one of `version` and `range`: neither is the highest.
    """

    name: str | None = None
    version: str | None = None
    range: str | None = None
    language: str | None = None
    language_version: str | None = None
    tags: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the spec in its shortest form, which `parse` reads back."""
        if self.name is not None:
            return self.name if self.wanted == LATEST else f"{self.name}@{self.wanted}"
        return f"{self.language}:{self.language_version}" + "".join(f"+{tag}" for tag in self.tags)

    @property
    def wanted(self) -> str:
        """Which versions are meant, as `spec.versions` of a Runtime says it: an exact one, a range, or `latest`."""
        return self.version or self.range or LATEST


def parse(text: str) -> RuntimeSpec:
    """Return what `text` asks for.

    >>> parse("python-3.11-ml@1.3.2").version, parse("python:3.11+ml").tags, str(parse("java-17@latest"))
    ('1.3.2', ('ml',), 'java-17')
    >>> parse("java-17@>= 1.3   <2").range
    '>=1.3 <2'

    Raises:
        SpecError: it is no runtime spec.
    """
    try:
        return _parse_language(text) if ":" in text else _parse_named(text)
    except SpecError as error:
        raise SpecError(f'cannot read "{shortened(text)}" as a runtime: {error}') from None


def check_name(name: str) -> str:
    """Return `name` if a runtime may be called so.

    Raises:
        SpecError: it may not; the message says why.
    """
    if not name:
        raise SpecError("it has no name: write NAME, NAME@X.Y.Z or LANGUAGE:VERSION")
    if len(name) > MAX_NAME_LENGTH:
        raise SpecError(f"the name has {len(name)} characters: use at most {MAX_NAME_LENGTH}")
    if ".." in name or not _NAME.fullmatch(name):
        raise SpecError(
            f'"{shortened(name)}" is not a name: use lowercase letters, digits, "." and "-", '
            'a letter or digit at both ends, no ".."'
        )
    return name


def check_version(version: str) -> str:
    """Return `version` if it is a full SemVer 2.0.0 version.

    Raises:
        SpecError: it is not; the message says why.
    """
    if len(version) > _MAX_VERSION_LENGTH or not _VERSION.fullmatch(version):
        hint = f': leave out the "{version[0]}"' if version[:1] in ("v", "V") and len(version) > 1 else ""
        raise SpecError(
            f'"{shortened(version)}" is not a version{hint}: use MAJOR.MINOR.PATCH, such as 1.3.2 or 1.4.0-beta'
        )
    return version


def check_wanted(text: str) -> str:
    """Return `text` in its one way of writing if it says which versions are wanted: exact, a range or `latest`.

    >>> check_wanted("1.3.2"), check_wanted("^1.3||~ 2.0"), check_wanted("latest")
    ('1.3.2', '^1.3 || ~2.0', 'latest')

    Raises:
        SpecError: it does not; the message says why.
    """
    if text == LATEST or is_version(text):
        return text
    if text[:1] in ("v", "V") or not _RANGE_CHARACTERS & set(text):
        try:
            return check_version(text)
        except SpecError as error:
            raise SpecError(f"{error}, a range such as ^1.3, or latest") from None
    return _check_range(text)


def is_wanted(text: str) -> bool:
    """Say whether `text` says which versions are wanted: exact, a range or `latest`."""
    try:
        check_wanted(text)
    except SpecError:
        return False
    return True


def matches(wanted: str, version: str) -> bool:
    """Say whether `version` is one of those `wanted`: an exact version, a range or `latest`, which is any.

    A pre-release is in a range only where the range names one of the same MAJOR.MINOR.PATCH, as in npm.

    >>> matches("^1.3", "1.10.0"), matches("<2", "2.0.0-rc.1"), matches("^1.4.0-beta.1", "1.4.0-beta.2")
    (True, False, True)
    """
    if wanted == LATEST:
        return True
    if is_version(wanted):
        return wanted == version
    return _is_in_range(wanted, version)


def best(wanted: str, versions: Iterable[str]) -> str | None:
    """Return which of `versions` is meant by `wanted`; None if none is one of them.

    >>> best("~1.3.2", ["1.3.1", "1.3.9", "1.4.0"]), best("latest", ["2.0.0-rc.1"]), best("^3", ["1.0.0"])
    ('1.3.9', '2.0.0-rc.1', None)
    """
    ordered = sorted(versions, key=lambda version: (not is_prerelease(version), version_order(version)), reverse=True)
    return next((version for version in ordered if matches(wanted, version)), None)


def is_version(text: str) -> bool:
    """Say whether `text` is a full SemVer 2.0.0 version."""
    return len(text) <= _MAX_VERSION_LENGTH and _VERSION.fullmatch(text) is not None


def is_prerelease(version: str) -> bool:
    """Say whether `version` is a pre-release, such as 1.4.0-beta."""
    return bool(_semver(version).prerelease)


@lru_cache(maxsize=8192)
def version_order(version: str | None) -> tuple[Any, ...]:
    """Return a sort key: SemVer 2.0.0 precedence, equal ones by build tag; no version is below all.

    >>> sorted(["1.10.0", "1.9.0", "1.9.0-rc.1"], key=version_order)
    ['1.9.0-rc.1', '1.9.0', '1.10.0']
    """
    if version is None:
        return (0,)
    parsed = _semver(version)
    # Plain values, which compare fast: a number is below a word, a pre-release below its release.
    words = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parsed.prerelease)
    pre = (0, words) if words else (1, ())
    return (1, parsed.major, parsed.minor, parsed.patch, pre, tuple(parsed.build))


def latest(versions: Iterable[str]) -> str | None:
    """Return the version that `latest` means: the highest release, or pre-release if there is nothing else.

    >>> latest(["1.9.0", "1.10.0", "1.11.0-beta"]), latest(["2.0.0-rc.1"]), latest([])
    ('1.10.0', '2.0.0-rc.1', None)
    """
    found = list(versions)
    releases = [version for version in found if not is_prerelease(version)]
    return max(releases or found, key=version_order, default=None)


def split_directory(directory: str) -> tuple[str, str | None]:
    """Return the name and version that a directory name stands for: the last `-X.Y.Z…` is the version.

    >>> split_directory("python-3.11-ml-1.3.2"), split_directory("python-3.11")
    (('python-3.11-ml', '1.3.2'), ('python-3.11', None))
    """
    match = _DIRECTORY.fullmatch(directory)
    return (match["name"], match["version"]) if match else (directory, None)


def shortened(text: str, length: int = 80) -> str:
    """Return `text` printable and at most `length` long, for a message."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: length + 1])
    return clean if len(clean) <= length else clean[: length - 1] + "…"


def _parse_named(text: str) -> RuntimeSpec:
    name, _, version = text.partition("@")
    if "+" in name:
        raise SpecError('"+" adds a tag to LANGUAGE:VERSION: write python:3.11+ml, or the name with "-"')
    check_name(name)
    wanted = check_wanted(version or LATEST)
    if wanted == LATEST:
        return RuntimeSpec(name=name)
    return RuntimeSpec(name=name, version=wanted) if is_version(wanted) else RuntimeSpec(name=name, range=wanted)


def _check_range(text: str) -> str:
    alternatives = [_LOOSE_OPERATOR.sub(r"\1", " ".join(part.split())) for part in text.split("||")]
    for part in alternatives:
        if len(text) > _MAX_VERSION_LENGTH or not _ALTERNATIVE.fullmatch(part):
            raise SpecError(
                f'"{shortened(part or text)}" is not a range: write it as npm does, such as ^1.3, ~1.3.2, 1.x, >=1.3 <2'
            )
    wanted = " || ".join(alternatives)
    try:
        _npm_range(wanted)
    except ValueError as error:
        raise SpecError(f'"{shortened(text)}" is not a range: {error}') from None
    return wanted


def _parse_language(text: str) -> RuntimeSpec:
    language, _, rest = text.partition(":")
    version, *tags = rest.split("+")
    if not _LANGUAGE.fullmatch(language):
        raise SpecError(f'"{shortened(language)}" is not a language: use lowercase letters and digits')
    if "@" in rest:
        raise SpecError('"@" goes with a name, not with LANGUAGE:VERSION: write NAME@X.Y.Z')
    if not _LANGUAGE_VERSION.fullmatch(version):
        raise SpecError(f'"{shortened(version)}" is not a version of a language: write {language}:3.11 for example')
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise SpecError(f'"{shortened(tag)}" is not a tag: use lowercase letters and digits')
    if len(text) > MAX_NAME_LENGTH:
        raise SpecError(f"it has {len(text)} characters: use at most {MAX_NAME_LENGTH}")
    return RuntimeSpec(language=language, language_version=version, tags=tuple(sorted(set(tags))))


@lru_cache(maxsize=16384)
def _is_in_range(wanted: str, version: str) -> bool:
    parsed = _semver(version)
    if parsed.prerelease and str(parsed.truncate()) not in _NAMED_PRERELEASE.findall(wanted):
        return False
    return bool(_npm_range(wanted).match(parsed))


@lru_cache(maxsize=512)
def _npm_range(text: str) -> Any:
    return semantic_version.NpmSpec(text)


@lru_cache(maxsize=4096)
def _semver(version: str) -> Any:
    return semantic_version.Version(version)
