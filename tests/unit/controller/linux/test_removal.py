"""Removing what somebody else made."""

import os
from datetime import UTC, datetime

import pytest

from controller.linux.removal import remove_tree
from controller.runtime.trees import retired
from controller.runtime.trees.retired import Retired
from support.deep_tree import make_deep_tree


def test_a_tree_is_removed_and_what_its_links_point_to_stays(tmp_path):
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/file").touch()
    (tmp_path / "kept").mkdir()
    (tree / "a/link").symlink_to(tmp_path / "kept")
    os.mkfifo(tree / "a/pipe")
    (tree / ".removed-0").mkdir()
    (tree / ".removed-1").touch()

    remove_tree(tree)

    assert os.listdir(tmp_path) == ["kept"]


def test_what_is_not_there_is_removed_already(tmp_path):
    remove_tree(tmp_path / "missing")

    assert os.listdir(tmp_path) == []


def test_a_tree_deeper_than_any_path_is_removed(tmp_path):
    tree = make_deep_tree(tmp_path / "tree", 3000)

    remove_tree(tree)

    assert os.listdir(tmp_path) == []


def test_a_link_is_not_taken_for_a_tree(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")

    with pytest.raises(OSError, match="link"):
        remove_tree(tmp_path / "link")

    assert (tmp_path / "kept").is_dir()


def test_a_retired_tree_deeper_than_any_path_is_removed_and_removing_it_again_does_nothing(tmp_path):
    aside = make_deep_tree(tmp_path / "a-1.0.0~1", 3000)
    tree = Retired("a-1.0.0", datetime.now(UTC), aside)

    retired.remove(tree)
    retired.remove(tree)

    assert os.listdir(tmp_path) == []


def test_a_tree_is_removed_from_where_a_directory_is_open(tmp_path):
    (tmp_path / "tree/below").mkdir(parents=True)
    at = os.open(tmp_path, os.O_RDONLY)
    remove_tree("tree", dir_fd=at)
    os.close(at)

    assert os.listdir(tmp_path) == []
