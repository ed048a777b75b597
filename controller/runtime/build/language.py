"""What a build's language means: Debian packages, variables of its jobs, where its own libraries go.

Pure: a table. Never here: finding a language on the host (`host_tree.py`).
Invariant: a language or version that is not known is refused before anything is done.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from api.types.runtime_sources import BuildBase
from controller.engine.errors import TerminalError
from controller.runtime.build.commands import BUILD_FAILED

STATIC = "static"
"""The language of a tree that holds nothing but what is named: no shell and no tools come by themselves."""

NODE_MODULES = "/usr/local/lib/node_modules"
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)*")


@dataclass(frozen=True, slots=True)
class Language:
    """A language. `latest` is its Debian package where no version is asked for, `versioned` where one is.

    `host` is the package that a host without it would need.
    """

    latest: str
    versioned: str
    host: str
    environment: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()


LANGUAGES: Mapping[str, Language] = {
    "python": Language("python3", "python{v}", "python3", {"PYTHONDONTWRITEBYTECODE": "1"}),
    "java": Language("default-jdk-headless", "openjdk-{v}-jdk-headless", "openjdk-17-jdk-headless"),
    "node": Language("nodejs", "nodejs", "nodejs", {"NODE_PATH": NODE_MODULES}, (f"{NODE_MODULES}/.bin",)),
    "go": Language(
        "golang-go",
        "golang-{v}-go",
        "golang-go",
        # Jobs can write below /tmp, and nothing is fetched behind their back.
        {"GOCACHE": "/tmp/go-cache", "GOPATH": "/tmp/go", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"},
    ),
}


def versioned(base: BuildBase) -> str:
    """Return what Debian calls its packages of the versions of the language, with {v} for one; empty if it has one.

    >>> versioned(BuildBase(language="java")), versioned(BuildBase(language="node"))
    ('openjdk-{v}-jdk-headless', '')
    """
    language = LANGUAGES.get(base.language or "")
    return language.versioned if language is not None and "{v}" in language.versioned else ""


def refusal(base: BuildBase, found: str) -> TerminalError:
    """Return the error for a version that the archive has not; `found` is what it has."""
    why = f"the package archive has {found}, not {base.version}"
    return TerminalError(
        BUILD_FAILED, f"cannot build from debian: {why}: change spec.build.base.version, or use another base"
    )


def packages(base: BuildBase) -> tuple[str, ...]:
    """Return the Debian packages of the language that `base` asks for, and certificates beside them.

    Raises:
        TerminalError: BuildFailed, there is no such language.
    """
    check(base)
    if base.language in (None, STATIC):
        return ()
    language = LANGUAGES[base.language or ""]
    named = language.versioned.format(v=base.version) if base.version else language.latest
    return (named, "ca-certificates")


def check(base: BuildBase) -> None:
    """Refuse a language that is not known, and a version that cannot be one.

    Raises:
        TerminalError: BuildFailed.
    """
    if base.language is not None and base.language not in (*LANGUAGES, STATIC):
        known = ", ".join((*LANGUAGES, STATIC))
        raise TerminalError(BUILD_FAILED, f'cannot build with the language "{base.language}": known are {known}')
    if base.version and not _VERSION.fullmatch(base.version):
        raise TerminalError(
            BUILD_FAILED, f'cannot build with the version "{base.version}": write one such as 3.11 or 17'
        )


def satisfies(asked: str, found: str) -> bool:
    """Say whether the version `found` is what was asked for: as many numbers as were given are the same.

    >>> satisfies("3.11", "3.11.2"), satisfies("3.1", "3.11.2"), satisfies("", "18.20.4")
    (True, False, True)
    """
    return not asked or f"{found}.".startswith(f"{asked}.")
