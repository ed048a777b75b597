"""Locks of versions: one holder, whoever removes their files meanwhile."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controller.engine.errors import TransientError
from controller.runtime.trees import install, locks, origin
from support.registry_fixtures import RegistryOnDisk

KEY = "a-1.0.0"


def files(root: Path) -> list[str]:
    return sorted(path.name for path in (root / origin.RECORDS).glob("*.lock"))


def test_the_file_of_a_version_without_a_tree_goes_with_its_lock_and_that_of_one_with_a_tree_stays(tmp_path):
    with locks.exclusive(tmp_path, KEY, wait=True):
        assert files(tmp_path) == [f"{KEY}.lock"]
    assert files(tmp_path) == []

    with locks.exclusive(tmp_path, KEY, wait=True):
        (tmp_path / KEY).mkdir()
    assert files(tmp_path) == [f"{KEY}.lock"]


def test_who_does_not_get_it_leaves_it(tmp_path):
    with locks.exclusive(tmp_path, KEY, wait=True):
        with (
            pytest.raises(TransientError, match="it is being changed already"),
            locks.exclusive(tmp_path, KEY, wait=False),
        ):
            pass
        assert files(tmp_path) == [f"{KEY}.lock"]
        with pytest.raises(TransientError), locks.exclusive(tmp_path, KEY, wait=False):
            pass


def test_an_error_leaves_neither_lock_nor_file(tmp_path):
    with pytest.raises(ZeroDivisionError), locks.exclusive(tmp_path, KEY, wait=True):
        raise ZeroDivisionError
    assert files(tmp_path) == []
    with locks.exclusive(tmp_path, KEY, wait=False):
        pass


def test_there_is_one_holder_at_a_time_though_each_removes_the_file_that_others_wait_for(tmp_path):
    inside, most, turns = 0, 0, 0
    beside = threading.Lock()

    def take_turns(number: int) -> None:
        nonlocal inside, most, turns
        for _ in range(200):
            with locks.exclusive(tmp_path, KEY, wait=True):
                with beside:
                    inside += 1
                    most = max(most, inside)
                os.sched_yield()
                with beside:
                    inside, turns = inside - 1, turns + 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take_turns, range(8)))

    assert (most, turns) == (1, 1600)
    assert files(tmp_path) == []


def test_a_version_that_was_removed_leaves_no_lock_file(host, tmp_path):
    registry = RegistryOnDisk(tmp_path / "registry").add("a", "1.0.0")
    install.install(registry.package("a", "1.0.0"), host)
    assert files(host.root) == [f"{KEY}.lock"]

    install.remove(host.root, "a", "1.0.0")
    assert files(host.root) == []


def test_files_that_others_left_are_cleaned_unless_they_are_held_or_their_tree_is_there(tmp_path):
    records = tmp_path / origin.RECORDS
    records.mkdir()
    (tmp_path / "b-1.0.0").mkdir()
    for key in (KEY, "b-1.0.0", "c-1.0.0"):
        (records / f"{key}.lock").touch()
    (records / "a-1.0.0.digest").touch()

    with locks.exclusive(tmp_path, "c-1.0.0", wait=True):
        locks.clean(tmp_path)
        assert files(tmp_path) == ["b-1.0.0.lock", "c-1.0.0.lock"]
    assert (records / "a-1.0.0.digest").exists()
    install.clean_staging(tmp_path)
    assert files(tmp_path) == ["b-1.0.0.lock"]
    locks.clean(tmp_path / "nothing")
