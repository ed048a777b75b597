"""Libraries that packages expect of others: fetched from the build's root, and said to be missing where there is none."""

import os
import platform
import shutil
from pathlib import Path

import pytest

from controller.runtime.binaries import elf
from controller.runtime.binaries.closure import closure
from controller.runtime.build import supply
from controller.runtime.build.roots import Root

MANIFEST = 'name: "a"\nmounts:\n  - {source: "isolated/usr", target: "/usr"}\n'
LIBRARIES = f"usr/lib/{platform.machine()}-linux-gnu"
PACKAGES = "isolated/usr/lib/python3.11/site-packages/pkg"


def a_library(named: str) -> Path:
    """A library of this host, which needs others, by a name that a program here needs it by."""
    return closure([Path("/bin/ls").resolve()]).libraries[named].resolve()


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    needing = (
        a_library("libselinux.so.1") if "libselinux.so.1" in closure([Path("/bin/ls").resolve()]).libraries else None
    )
    program = needing or Path("/bin/ls").resolve()
    (tmp_path / "tree" / PACKAGES).mkdir(parents=True)
    (tmp_path / "tree/isolated" / LIBRARIES).mkdir()
    (tmp_path / "tree/runtime.yml").write_text(MANIFEST)
    shutil.copy(program, tmp_path / "tree" / PACKAGES / "extension.so")
    return tmp_path / "tree"


def needs(payload: Path) -> tuple[str, ...]:
    return elf.parse((payload / PACKAGES / "extension.so").read_bytes()).needed


def test_what_is_nowhere_is_said_to_be_missing_with_who_needs_it(payload, tmp_path):
    (tmp_path / "root").mkdir()

    supplied = supply.supply(payload, Root(tmp_path / "root"), "debian")

    assert supplied.added == ()
    assert {line.split(" needs ")[1].split(",")[0] for line in supplied.missing} == set(needs(payload))
    assert all(line.startswith(f"/{PACKAGES.partition('/')[2]}/extension.so needs ") for line in supplied.missing)


def test_a_library_of_the_builds_root_is_moved_with_the_file_that_it_links_to(payload, tmp_path):
    place = tmp_path / "root" / LIBRARIES
    place.mkdir(parents=True)
    libraries = closure([payload / PACKAGES / "extension.so"]).libraries
    for name, path in libraries.items():
        shutil.copy(path.resolve(), place / f"{name}.real")
        (place / name).symlink_to(f"{name}.real")

    supplied = supply.supply(payload, Root(tmp_path / "root"), "debian")

    assert supplied.missing == ()
    first = needs(payload)[0]
    assert {f"{LIBRARIES}/{first}", f"{LIBRARIES}/{first}.real"} <= set(supplied.added)
    assert (payload / "isolated" / LIBRARIES / first).resolve().is_file()
    assert not (place / first).exists()


@pytest.mark.invariant("B1")
@pytest.mark.parametrize("base", ["debian", "host"])
def test_no_library_is_put_behind_a_link_of_the_tree(payload, tmp_path, base):
    victim, tree, root = tmp_path / "victim", payload / "isolated", tmp_path / "root"
    victim.mkdir()
    (victim / "libc.so.6").write_text("the host's")
    (root / "usr/lib/zz-linux-gnu").mkdir(parents=True)
    for name, path in closure([payload / PACKAGES / "extension.so"]).libraries.items():
        shutil.copy(path.resolve(), root / "usr/lib/zz-linux-gnu" / name)
    (tree / LIBRARIES).rmdir()
    (tree / LIBRARIES).symlink_to(victim)
    (tree / "usr/lib/zz-linux-gnu").symlink_to(victim)

    supplied = supply.supply(payload, Root(root), base)

    assert supplied.missing
    assert [path.name for path in victim.iterdir()] == ["libc.so.6"]


@pytest.mark.invariant("B1")
def test_a_directory_of_a_librarys_name_is_not_moved(payload, tmp_path):
    place = tmp_path / "root" / LIBRARIES
    for name in needs(payload):
        (place / name).mkdir(parents=True)

    supplied = supply.supply(payload, Root(tmp_path / "root"), "debian")

    assert supplied.added == ()
    assert sorted(os.listdir(place)) == sorted(needs(payload))
