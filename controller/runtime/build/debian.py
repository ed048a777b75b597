"""A root made of Debian packages, configured by their own scripts, and which of its files are wanted.

The root holds the Essential packages besides, so that maintainer scripts find all they may rely on, and what the build
alone needs, such as pip. Running the scripts is right more often than imitating them: alternatives, certificates,
the key store of Java, caches of the loader all come out as on a Debian machine. What is not wanted stays behind.
Never here: resolving (`apt.py`), and moving the files (`carry.py`).
"""

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from controller.runtime.build import apt, beneath, carry
from controller.runtime.build.apt import Deb, Versioned
from controller.runtime.build.commands import Bench, Command, Share

BASE = (
    "base-files", "bash", "coreutils", "dash", "diffutils", "findutils", "grep", "gzip", "hostname", "libc-bin",
    "libc6", "mawk", "ncurses-base", "procps", "sed", "tar",
)  # fmt: skip
"""What every runtime has that is made of Debian packages, the static one left out: a shell and the usual tools."""

_DEBS = "/build/debs"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MERGED = ("bin", "sbin", "lib", "lib64")
_ENV = {
    "PATH": _PATH,
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
    "SOURCE_DATE_EPOCH": str(carry.FIXED_TIME),
}
_LEFT_OUT = (
    "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*",
    "/usr/share/bug/*", "/usr/share/groff/*", "/usr/share/linda/*", "/usr/share/doc-base/*",
)  # fmt: skip
_FIRST = """
set -eu
# Some scripts link to pages of the manual, whether there are any or not.
mkdir -p /var/lib/dpkg /etc/dpkg/dpkg.cfg.d /usr/sbin /usr/share/man/man1 /usr/share/man/man5 /usr/share/man/man8
touch /var/lib/dpkg/status /var/lib/dpkg/available
printf '%s\\n' {excludes} > /etc/dpkg/dpkg.cfg.d/runwright
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
cd {debs}
dpkg --force-depends --force-unsafe-io --install {files}
"""
_SECOND = """
set -eu
cd {debs}
dpkg --force-unsafe-io --force-depends --unpack {files}
dpkg --force-unsafe-io --configure --pending
"""


@dataclass(frozen=True, slots=True)
class DebianRoot:
    """A configured root: which of its packages are wanted, the paths of those, and those that their scripts made.

    `unpacked` are all of its packages.
    """

    path: Path
    wanted: tuple[Deb, ...]
    owned: frozenset[str]
    configured: frozenset[str]
    unpacked: tuple[Deb, ...]


class NotOffered(Exception):
    """There is no package of the version that was asked for; `offered` are the versions that there are."""

    def __init__(self, offered: tuple[str, ...]) -> None:
        """Keep `offered`."""
        super().__init__(f"there are {offered}")
        self.offered = offered


def make(
    bench: Bench, work: Path, architecture: str, wanted: Iterable[str], tools: Iterable[str] = (),
    versioned: Versioned | None = None,
) -> DebianRoot:  # fmt: skip
    """Resolve, download, unpack and configure `wanted`, and the `tools` of the build, in the empty directory `work`.

    Raises:
        TransientError, TerminalError: BuildFailed; apt's or dpkg's own words are in it.
        NotOffered: `versioned`, which is among what is wanted, is not to be had.
    """
    asked = tuple(wanted)
    script = apt.script(architecture, asked, tools, versioned)
    fetched = bench.ask(
        "resolve and download the Debian packages",
        _apt(script, work),
    )
    resolved = apt.parse(fetched)
    if versioned is not None and versioned.version not in resolved.offered:
        raise NotOffered(resolved.offered)
    root = work / "root"
    _install(bench, root, work, _FIRST, resolved.essential)
    before = carry.look(root)
    _install(bench, root, work, _SECOND, _without(resolved.needed, resolved.essential))
    made = carry.changed(before, carry.look(root))
    _install(bench, root, work, _SECOND, _without(resolved.everything, (*resolved.essential, *resolved.needed)))
    owned = owned_paths(root, resolved.wanted)
    others = owned_paths(root, _without(resolved.everything, resolved.wanted))
    configured = (made - owned - others) | alternatives(root, owned)
    return DebianRoot(root, resolved.wanted, owned, configured, resolved.everything)


def add(bench: Bench, root: Path, work: Path, architecture: str, names: Iterable[str]) -> None:
    """Install packages that only the build needs, into a root that was made before in `work`.

    Raises:
        TransientError, TerminalError: BuildFailed; apt's or dpkg's own words are in it.
    """
    script = apt.more_script(architecture, names)
    fetched = bench.ask("resolve and download the build's tools", _apt(script, work))
    _install(bench, root, work, _SECOND, apt.parse(fetched).needed)


def owned_paths(root: Path, debs: Iterable[Deb]) -> frozenset[str]:
    """Return the paths that the packages say are theirs, as they lie in a root whose /bin is in /usr."""
    return frozenset(merged(line) for deb in debs for line in _files_of(root, deb).splitlines() if line.strip("/."))


def owners(root: Path, debs: Iterable[Deb], paths: Iterable[str]) -> frozenset[Deb]:
    """Return which of `debs` the files at `paths` are from."""
    wanted = frozenset(paths)
    if not wanted:
        return frozenset()
    return frozenset(deb for deb in debs if not wanted.isdisjoint(owned_paths(root, (deb,))))


def alternatives(root: Path, owned: frozenset[str]) -> frozenset[str]:
    """Return the links by which one of several programs is called by one name, where that program is in `owned`."""
    if not beneath.is_directory(root, "etc/alternatives"):
        return frozenset()
    links = beneath.links(root, "etc/alternatives")
    meant = {f"/etc/alternatives/{name}" for name, target in links.items() if merged(target) in owned}
    called = {
        f"{place}/{name}"
        for place in ("usr/bin", "usr/sbin")
        for name, target in beneath.links(root, place).items()
        if target in meant
    }
    return frozenset(called | {path.lstrip("/") for path in meant})


def merged(path: str) -> str:
    """Return where `path` lies when /bin, /sbin and /lib are links into /usr.

    >>> merged("/bin/sh"), merged("/lib64"), merged("/etc/passwd")
    ('usr/bin/sh', 'lib64', 'etc/passwd')
    """
    plain = posixpath.normpath(path).lstrip("/")
    top, slash, _ = plain.partition("/")
    return f"usr/{plain}" if slash and top in _MERGED else plain


def merging_links(root: Path, paths: Iterable[str]) -> frozenset[str]:
    """Return which of `root`'s links /bin, /sbin, /lib and /lib64 lead to directories that hold some of `paths`."""
    tops = {"/".join(path.split("/")[:2]) for path in paths}
    return frozenset(name for name in _MERGED if (root / name).is_symlink() and f"usr/{name}" in tops)


def _apt(script: str, work: Path) -> Command:
    """Return the command for a script of apt's, in a copy of the host."""
    return Command(("/bin/sh", "-c", script), env={"PATH": _PATH}, writable=(Share(work, apt.WORK),), network=True)


def _without(debs: Iterable[Deb], others: Iterable[Deb]) -> tuple[Deb, ...]:
    there = frozenset(others)
    return tuple(deb for deb in debs if deb not in there)


def _files_of(root: Path, deb: Deb) -> str:
    for name in (f"{deb.name}.list", f"{deb.name}:{deb.architecture}.list"):
        path = f"var/lib/dpkg/info/{name}"
        if beneath.is_file(root, path):
            return beneath.read(root, path).decode(errors="surrogateescape")
    return ""


def _install(bench: Bench, root: Path, work: Path, script: str, debs: Iterable[Deb]) -> None:
    files = " ".join(deb.file for deb in debs)
    if not files:
        return
    excludes = (
        " ".join(f"'path-exclude={pattern}'" for pattern in _LEFT_OUT) + " 'path-include=/usr/share/doc/*/copyright'"
    )
    text = script.format(debs=_DEBS, files=files, excludes=excludes)
    command = Command(("/bin/sh", "-c", text), root=root, env=_ENV, writable=(Share(work / "cache/archives", _DEBS),))
    bench.do("install the Debian packages in the build's root", command)
