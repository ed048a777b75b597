"""What a tree takes on the disk, and what of it would stay if it went."""

import os
from pathlib import Path

import pytest

from controller.runtime.trees import install, origin, store
from controller.runtime.trees.disk_use import DiskUse, measure
from controller.runtime.trees.install import Host
from support.registry_fixtures import RegistryOnDisk, a_file, a_hardlink, a_package

LARGE = os.urandom(1 << 20)


@pytest.fixture
def registry(tmp_path: Path) -> RegistryOnDisk:
    registry = RegistryOnDisk(tmp_path / "registry")
    for version in ("1.0.0", "1.1.0"):
        more = (a_file("large", LARGE), a_hardlink("same", "large"), a_file("own", version.encode() * (1 << 18)))
        registry.add("a", version, a_package("a", version, *more))
    return registry


def test_what_only_one_tree_has_is_not_shared_though_it_has_several_names(host: Host, registry: RegistryOnDisk):
    path = install.install(registry.package("a", "1.0.0"), host).path

    use = measure(path)

    assert use.shared_bytes == 0
    assert (1 << 20) * 2.2 < use.disk_bytes < (1 << 20) * 2.4


def test_what_two_trees_have_is_shared_and_is_not_any_more_when_one_goes(host: Host, registry: RegistryOnDisk):
    trees = [install.install(registry.package("a", version), host).path for version in ("1.0.0", "1.1.0")]

    assert [1 << 20 <= measure(path).shared_bytes < (1 << 20) + 16384 for path in trees] == [True, True]
    install.remove(host.root, "a", "1.0.0")
    store.collect(host.root)
    assert measure(trees[1]).shared_bytes == 0


@pytest.mark.parametrize("twin", [a_hardlink("twin", "large"), a_file("twin", LARGE)])
def test_the_record_counts_a_file_once_however_many_names_it_has_in_the_tree(host: Host, tmp_path: Path, twin):
    registry = RegistryOnDisk(tmp_path / "twins")
    more = [a_hardlink("other", "large"), a_file("executable", LARGE, mode=0o755), a_file("empty", b"")]
    registry.add("a", "1.0.0", a_package("a", "1.0.0", a_file("large", LARGE), twin, *more))
    path = install.install(registry.package("a", "1.0.0"), host).path
    known = origin.read(host.root, "a", "1.0.0")

    assert known is not None
    assert known.disk_bytes == measure(path).disk_bytes
    assert (1 << 21) <= known.disk_bytes < (1 << 21) + (1 << 16)


def test_what_a_tree_adds_is_what_its_record_has_over_what_it_shares(host: Host, registry: RegistryOnDisk):
    trees = [install.install(registry.package("a", version), host).path for version in ("1.0.0", "1.1.0")]

    for version, path in zip(("1.0.0", "1.1.0"), trees, strict=True):
        known = origin.read(host.root, "a", version)
        assert known is not None
        assert known.disk_bytes - measure(path).shared_bytes < (1 << 18) * 5 + 32768


def test_an_empty_directory_takes_nothing(tmp_path: Path):
    assert measure(tmp_path) == DiskUse(0, 0)
