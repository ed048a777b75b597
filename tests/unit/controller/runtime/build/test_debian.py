"""Which files of a root of Debian packages are wanted."""

from pathlib import Path

import pytest

from controller.runtime.build import debian
from controller.runtime.build.apt import Deb

BASH, ZLIB = Deb("bash", "5.2", "amd64"), Deb("zlib1g", "1:1.2", "amd64")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (info / "bash.list").write_text("/.\n/bin\n/bin/bash\n/etc\n/etc/bash.bashrc\n")
    (info / "zlib1g:amd64.list").write_text("/.\n/lib\n/lib/x86_64-linux-gnu/libz.so.1\n")
    for directory in ("usr/bin", "usr/sbin", "etc/alternatives"):
        (tmp_path / directory).mkdir(parents=True)
    return tmp_path


def test_the_files_of_packages_are_found_where_they_lie_when_bin_is_in_usr(root):
    assert debian.owned_paths(root, [BASH, ZLIB]) == {
        "bin", "usr/bin/bash", "etc", "etc/bash.bashrc", "lib", "usr/lib/x86_64-linux-gnu/libz.so.1",
    }  # fmt: skip


def test_the_package_that_a_file_is_from_is_found(root):
    assert debian.owners(root, [BASH, ZLIB], ["usr/lib/x86_64-linux-gnu/libz.so.1", "opt/own"]) == {ZLIB}


def test_an_alternative_is_wanted_where_the_program_that_it_means_is(root):
    (root / "etc/alternatives/awk").symlink_to("/usr/bin/mawk")
    (root / "usr/bin/awk").symlink_to("/etc/alternatives/awk")
    (root / "etc/alternatives/pager").symlink_to("/bin/more")
    (root / "usr/bin/pager").symlink_to("/etc/alternatives/pager")

    assert debian.alternatives(root, frozenset({"usr/bin/mawk"})) == {"etc/alternatives/awk", "usr/bin/awk"}


def test_alternatives_that_are_a_link_themselves_are_none(root, tmp_path):
    (root / "etc/alternatives").rmdir()
    (root / "etc/alternatives").symlink_to("/etc/alternatives")

    assert debian.alternatives(root, frozenset({"usr/bin/mawk"})) == frozenset()


def test_the_links_by_which_files_are_found_are_wanted_with_the_files(tmp_path):
    (tmp_path / "usr/lib").mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (tmp_path / name).symlink_to(f"usr/{name}")
    (tmp_path / "sbin").mkdir()

    found = debian.merging_links(tmp_path, ["usr/bin/sh", "usr/lib64/ld.so", "usr/sbin/x", "usr/share/lib/y"])

    assert found == {"bin", "lib64"}
