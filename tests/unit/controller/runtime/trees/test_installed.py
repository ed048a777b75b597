"""What is installed, looked at before each use: what is seen at once, what a moment later, and what is not done twice."""

import os
import shutil
import time
from pathlib import Path

import pytest

from controller.runtime.trees import installed
from controller.runtime.trees.installed import InstalledTrees
from support.file_clock import settle
from support.registry_fixtures import a_tree

LAYOUTS = ["a-2.0.0", "x/a-2.0.0", "a/2.0.0"]


@pytest.fixture
def trees(tmp_path: Path, for_ever: None) -> InstalledTrees:
    """Trees in each layout that were looked at when all was settled."""
    a_tree(tmp_path / "a-1.0.0", "a")
    a_tree(tmp_path / "a/1.1.0", "a")
    a_tree(tmp_path / "x/a-1.2.0", "a")
    settle()
    trees = InstalledTrees(tmp_path)
    trees.scan()
    return trees


@pytest.fixture
def for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "LOOK_AGAIN_SECONDS", float("inf"))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The looks at all files that were made."""
    made: list[Path] = []
    monkeypatch.setattr(installed, "_stamp", lambda root, really=installed._stamp: made.append(root) or really(root))
    return made


def versions(trees: InstalledTrees) -> list[str | None]:
    return [found.version for found in trees.scan() if found.is_valid]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_comes_and_goes_is_seen_at_once_however_seldom_files_are_looked_at(tmp_path, trees, looks, layout):
    for _ in range(3):
        path = a_tree(tmp_path / ".aside" / "t", "a")
        settle()
        assert versions(trees) == ["1.0.0", "1.1.0", "1.2.0"]
        looks.clear()
        assert versions(trees) == ["1.0.0", "1.1.0", "1.2.0"]
        assert looks == [], "what is settled is not looked at again: the way that is tested here"
        path.rename(tmp_path / layout)
        assert versions(trees) == ["1.0.0", "1.1.0", "1.2.0", "2.0.0"]
        settle()
        assert versions(trees) == ["1.0.0", "1.1.0", "1.2.0", "2.0.0"]
        looks.clear()
        assert versions(trees) == ["1.0.0", "1.1.0", "1.2.0", "2.0.0"]
        assert looks == []
        (tmp_path / layout).rename(tmp_path / ".gone")
        assert versions(trees) == ["1.0.0", "1.1.0", "1.2.0"]
        shutil.rmtree(tmp_path / ".gone")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tree_that_is_made_in_its_place_is_seen_when_it_is_whole(tmp_path, trees, layout):
    (tmp_path / layout / "isolated/bin").mkdir(parents=True)
    settle()
    assert versions(trees) == ["1.0.0", "1.1.0", "1.2.0"]
    manifest = (tmp_path / "a-1.0.0/runtime.yml").read_text()
    (tmp_path / layout / "runtime.yml").write_text(manifest)
    assert versions(trees) == ["1.0.0", "1.1.0", "1.2.0", "2.0.0"]


@pytest.mark.parametrize("layout", ["a-1.0.0", "a/1.1.0", "x/a-1.2.0"])
def test_an_edit_is_seen_when_files_are_looked_at_again(tmp_path, trees, layout, monkeypatch):
    monkeypatch.setattr(installed, "LOOK_AGAIN_SECONDS", 0.0)
    trees = InstalledTrees(tmp_path)
    trees.scan()
    manifest = tmp_path / layout / "runtime.yml"
    manifest.write_text(manifest.read_text() + "environment: {V: two}\n")

    edited = next(found for found in trees.scan() if found.path == tmp_path / layout)
    assert edited.manifest.environment == {"V": "two"}


def test_files_are_not_looked_at_again_for_a_moment_once_all_is_settled(tmp_path, for_ever, looks):
    path = a_tree(tmp_path / "a-1.0.0", "a")
    for young in (tmp_path, path / "runtime.yml"):
        settle()
        os.utime(young, times=(time.time() + 60, time.time() + 60))
        trees = InstalledTrees(tmp_path)
        looks.clear()
        found = [trees.scan(), trees.scan()]
        assert len(looks) == 2, "what changed a moment ago may change again in the same tick"

        os.utime(young)
        settle()
        found += [trees.scan(), trees.scan(), trees.scan()]
        assert len(looks) == 3
        assert found == [found[0]] * 5


def test_a_broken_tree_is_looked_at_each_time(tmp_path, trees):
    inside = tmp_path / "a-1.0.0/isolated/bin"
    inside.rename(tmp_path / "a-1.0.0/isolated/away")
    (tmp_path / "a-1.0.0" / "runtime.yml").touch()
    shutil.rmtree(tmp_path / "a/1.1.0")
    settle()
    assert versions(trees) == ["1.2.0"]
    (tmp_path / "a-1.0.0/isolated/away").rename(inside)
    assert versions(trees) == ["1.0.0", "1.2.0"]


def test_a_root_that_is_not_there_yet_is_looked_for_each_time(tmp_path, for_ever):
    trees = InstalledTrees(tmp_path / "later")
    assert trees.scan() == ()
    a_tree(tmp_path / "later/a-1.0.0", "a")
    assert versions(trees) == ["1.0.0"]
