"""Archives that hold names and links by which making their tree uniform would write elsewhere."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.runtime.sources.archive import ArchiveSource
from controller.runtime.trees import install
from controller.runtime.trees.install import Host
from support.registry_fixtures import a_file, a_hardlink, a_host, a_package, a_symlink

_STORED = b"what another runtime has too\n"
_EVIL = b"written by the archive\n"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with a_host(tmp_path / "root") as host:
        yield host


def installed(host: Host, name: str, *more: tuple[object, bytes]) -> Path:
    """Install an archive of `more`; return the tree."""
    archive = host.root.parent / f"{name}.tar.gz"
    archive.write_bytes(a_package(name, "1.0.0", *more))
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    return install.install(ArchiveSource(name, "1.0.0", str(archive), sha256), host).path


def of_two_names(prefix: str) -> tuple[tuple[object, bytes], ...]:
    return a_file(f"{prefix}/z", _EVIL, 0o600), a_hardlink(f"{prefix}/z2", f"{prefix}/z")


@pytest.mark.invariant("I20")
def test_a_link_of_the_name_of_our_own_copy_leads_no_byte_to_a_file_of_the_host(host: Host, tmp_path: Path):
    victim = tmp_path / "victim"

    tree = installed(host, "a", a_symlink("isolated/usr/.runwright-copy", str(victim)), *of_two_names("isolated/usr"))

    assert not victim.exists()
    assert (tree / "isolated/usr/z").read_bytes() == (tree / "isolated/usr/z2").read_bytes() == _EVIL


@pytest.mark.invariant("I10")
def test_a_file_of_the_name_of_our_own_copy_does_not_rewrite_what_another_runtime_shares(host: Host):
    other = installed(host, "a", a_file("isolated/shared", _STORED))

    tree = installed(host, "b", a_file("isolated/.runwright-copy", _STORED), *of_two_names("isolated"))

    assert (other / "isolated/shared").read_bytes() == _STORED
    assert (tree / "isolated/.runwright-copy").samefile(other / "isolated/shared")
    assert (tree / "isolated/z2").read_bytes() == _EVIL
