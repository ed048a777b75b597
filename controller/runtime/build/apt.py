"""Debian packages as the host's apt resolves and downloads them, into directories of our own.

Pure: builds the script that runs in a throw-away copy of the host, and reads what apt says. The script has the host's
sources, keyrings and proxies, and an empty list of installed packages; apt checks the signatures.
Never here: unpacking and configuring (`debian.py`).
Invariant: a package name cannot be read as an option, nor as a request to remove something.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from controller.engine.errors import TerminalError
from controller.runtime.build.commands import BUILD_FAILED

WORK = "/build"
"""Where the script has its directories; DIR/cache/archives holds what was downloaded."""

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+](?:=[A-Za-z0-9.+:~-]+)?")
_INST = re.compile(
    r"Inst (?P<name>[a-z0-9][a-z0-9+.-]*)(?::\S+)? \((?P<version>\S+) .*\[(?P<architecture>[a-z0-9-]+)\]\)"
)
_MARK = "#runwright "
_PARTS = ("essential", "wanted", "needed", "everything")
_ESSENTIAL = "?or(?essential,?exact-name(usr-is-merged))"
_ONLY_CONFIGURE = frozenset({"adduser", "debconf", "dpkg", "init-system-helpers", "ucf", "usr-is-merged"})
"""Packages that others depend on to be configured, not to run: they, and what they need, stay in the build's root."""

TOOLS = ("dpkg", "perl-base", "libc-bin", "debconf", "base-passwd", "usr-is-merged")
"""The Debian packages that configure others in the build's root, beside the essential ones."""


@dataclass(frozen=True, slots=True, order=True)
class Deb:
    """A package as it was resolved."""

    name: str
    version: str
    architecture: str

    @property
    def file(self) -> str:
        """Its file's name among the downloaded ones."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What is needed, in the order to install: to have a root that configures packages, for the result, and in all.

    `needed` is `wanted`, `essential`, and what else is needed to configure that. `offered` are the versions that there
    are of the one that was asked for with others.
    """

    essential: tuple[Deb, ...]
    wanted: tuple[Deb, ...]
    needed: tuple[Deb, ...]
    everything: tuple[Deb, ...]
    offered: tuple[str, ...] = ()


def check_names(names: Iterable[str]) -> None:
    """Refuse what is no NAME or NAME=VERSION.

    Raises:
        TerminalError: BuildFailed.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            raise TerminalError(
                BUILD_FAILED, f'cannot install "{name}": it is no Debian package: write NAME or NAME=VERSION'
            )


@dataclass(frozen=True, slots=True)
class Versioned:
    """A package of which there are several: their names with {v} for the version, and the version that is wanted."""

    pattern: str
    version: str


def script(architecture: str, wanted: Iterable[str], tools: Iterable[str], versioned: Versioned | None = None) -> str:
    """Return the shell script that resolves and downloads `wanted`, and `tools` that only the build needs.

    With `versioned` it says which versions there are, and does no more where the wanted one is none of them.

    It says what it resolved in lines that `parse` reads, and unpacks what every package may rely on into WORK/root.
    Whatever was chosen for the result is named from then on: beside essential packages, which may provide it too, apt
    would choose otherwise, and the result would have what nobody has downloaded.
    """
    asked, needed = tuple(wanted), tuple(tools)
    check_names((*asked, *needed))
    named = {name.partition("=")[0] for name in asked}
    return _SCRIPT.format(
        head=_head(architecture),
        work=WORK,
        mark=_MARK,
        offered=_offered(architecture, versioned) if versioned is not None else "",
        architecture=architecture,
        assumed=" ".join(sorted(_ONLY_CONFIGURE - named)),
        essential=" ".join((*TOOLS, f"'{_ESSENTIAL}'")),
        wanted=" ".join(asked),
        everything=" ".join((*asked, *needed, f"'{_ESSENTIAL}'")),
    )


def _offered(architecture: str, versioned: Versioned) -> str:
    before, _, after = (part.replace(".", "[.]") for part in versioned.pattern.partition("{v}"))
    check_names([versioned.pattern.format(v=versioned.version)])
    return _OFFERED.format(
        work=WORK, mark=_MARK, architecture=architecture, before=before, after=after, version=versioned.version
    )


def more_script(architecture: str, names: Iterable[str]) -> str:
    """Return the script that downloads what `names` need beside what `script` has put into WORK/root."""
    asked = tuple(names)
    check_names(asked)
    return _MORE.format(head=_head(architecture), mark=_MARK, work=WORK, names=" ".join(asked))


def parse(lines: Iterable[str]) -> Resolved:
    """Return what the script resolved."""
    found: dict[str, list[Deb]] = {part: [] for part in _PARTS}
    part, offered = "", list[str]()
    for line in lines:
        if line.startswith(_MARK):
            part, _, version = line.removeprefix(_MARK).strip().partition(" ")
            offered += [version] if version else []
        elif part in found and (match := _INST.match(line)):
            found[part].append(Deb(match["name"], match["version"], match["architecture"]))
    essential, chosen, needed, everything = (tuple(found[part]) for part in _PARTS)
    return Resolved(essential, chosen, needed, everything, tuple(offered))


def _head(architecture: str) -> str:
    """Return what both scripts begin with.

    Packages of local archives are copied, as apt else reads them in place; what cannot be is told at length.
    """
    return _HEAD.format(work=WORK, architecture=architecture)


_HEAD = """
set -eu
umask 022
cd {work}
command -v apt-get > /dev/null || {{
  echo 'there is no apt on this host: use base.from host, or a Debian host'
  exit 69
}}
apt() {{
  DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -qq -y \\
    -o Dir::State={work}/state -o Dir::State::status={work}/status -o Dir::Cache={work}/cache -o Dir::Log={work} \\
    -o APT::Architecture={architecture} -o APT::Architectures={architecture} -o APT::Sandbox::User=root \\
    -o APT::Install-Recommends=false -o APT::Install-Suggests=false -o Acquire::Languages=none -o Acquire::Retries=3 \\
    -o APT::Get::AllowUnauthenticated=false -o Acquire::AllowInsecureRepositories=false \\
    -o Acquire::AllowDowngradeToInsecureRepositories=false -o Debug::NoLocking=true -o Dpkg::Use-Pty=false \\
    -o Dir::Bin::Methods::file=copy "$@"
}}
resolve() {{
  apt --simulate "$@" || {{
    apt -q=1 --simulate "$@"
    exit 100
  }}
}}
"""
_MORE = """{head}
echo '{mark}needed'
resolve -o Dir::State::status={work}/root/var/lib/dpkg/status install {names}
echo '{mark}download'
apt -o Dir::State::status={work}/root/var/lib/dpkg/status --download-only install {names}
"""
_OFFERED = """
apt-cache -o Dir::State={work}/state -o Dir::State::status={work}/status -o Dir::Cache={work}/cache \\
  -o APT::Architecture={architecture} -o APT::Architectures={architecture} pkgnames |
  sed -n 's/^{before}\\([0-9.]*[0-9]\\){after}$/\\1/p' | sort -V > offered
sed 's/^/{mark}offers /' offered
grep -qxF '{version}' offered || exit 0
"""
_SCRIPT = """{head}
mkdir -p state/lists/partial cache/archives/partial root
: > status
apt -o APT::Update::Error-Mode=any update
{offered}
echo '{mark}essential'
resolve install {essential}
echo '{mark}wanted'
for name in {assumed}; do
  printf '%s\\n' "Package: $name" 'Status: install ok installed' 'Architecture: {architecture}' \\
    'Multi-Arch: foreign' 'Version: 99999:0' ''
done > assumed
resolve -o Dir::State::status={work}/assumed install {wanted}
apt -o Dir::State::status={work}/assumed --simulate install {wanted} |
  sed -n 's/^Inst \\([^ :]*\\)[^ ]* (\\([^ ]*\\) .*/\\1=\\2/p' > wanted
also=$(cat wanted)
echo '{mark}needed'
resolve install {wanted} {essential} $also
echo '{mark}everything'
resolve install {everything} $also
echo '{mark}download'
apt --download-only install {everything} $also
apt --simulate install {essential} | sed -n 's/^Inst \\([^ :]*\\).*/\\1/p' > essential
for directory in bin sbin lib lib64; do
  mkdir -p root/usr/$directory
  ln -s usr/$directory root/$directory
done
while read -r name; do
  for file in cache/archives/"$name"_*.deb; do
    dpkg-deb --fsys-tarfile "$file" | tar --directory root --keep-directory-symlink --no-same-owner --extract \\
      --exclude './usr/share/doc/*' --exclude './usr/share/man/*' --exclude './usr/share/locale/*'
  done
done < essential
"""
