"""Caches of package managers are kept small, whatever jobs leave in them."""

import os
from pathlib import Path

import pytest

from api.packages.manifest import PackageManager
from controller.daemon.package_caches import PackageCaches
from controller.linux.removal import remove_tree
from support import host
from support.deep_tree import make_deep_tree

pytestmark = pytest.mark.needs_root

KIB = 1 << 10
MOST = 64 * KIB


@pytest.fixture
def caches():
    root = host.directory_on_disk("runwright-test-")  # In memory, a directory takes no place that could be counted.
    caches = PackageCaches(root / "caches", MOST)
    yield caches
    caches.close()
    remove_tree(root)


@pytest.fixture
def directory(caches):
    return Path(caches.of("python", PackageManager("pip", "pip-cache")).directory)


def write(path, size, age):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (1_000_000 - age, 1_000_000 - age))


def test_a_cache_that_is_small_enough_is_left_alone(caches, directory):
    write(directory / "a/old", 4 * KIB, 100)

    caches.trim()

    assert (directory / "a/old").exists()


def test_of_a_cache_that_is_too_large_the_oldest_files_go_and_no_more_than_needed(caches, directory):
    for age in range(8):
        write(directory / f"sub/{age}", 10 * KIB, age)

    caches.trim()

    left = sorted(path.name for path in (directory / "sub").iterdir())
    assert left == [str(age) for age in range(len(left))]
    assert 3 <= len(left) <= 5


def test_links_out_of_a_cache_are_removed_and_not_followed(caches, directory, tmp_path):
    write(tmp_path / "host/file", 4 * KIB, 10_000)
    (directory / "link").symlink_to(tmp_path / "host")
    (directory / "file").symlink_to(tmp_path / "host/file")
    write(directory / "large", 2 * MOST, 0)

    caches.trim()

    assert (tmp_path / "host/file").exists()
    assert not (directory / "large").exists()


def test_a_cache_deeper_than_any_tool_makes_one_begins_anew(caches, directory):
    make_deep_tree(directory, 3000)

    caches.trim()

    assert not directory.exists()
    assert caches.of("python", PackageManager("pip", "pip-cache")).directory == str(directory)
    assert os.listdir(directory) == []


def test_a_cache_full_of_directories_begins_anew(caches, directory):
    for number in range(40):
        (directory / str(number)).mkdir()

    caches.trim()

    assert not directory.exists()


def test_no_volume_is_no_cache(caches):
    assert caches.of("python", PackageManager("pip")) is None
