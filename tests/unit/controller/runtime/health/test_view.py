"""A runtime's tree as a job sees it."""

from pathlib import Path

import pytest

from api.packages.manifest import Manifest, Mount
from controller.runtime.health.view import View


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path in ("isolated/usr/lib/liba.so.1", "isolated/usr/bin/tool", "isolated/other/secret", "patch/bin/tool"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "isolated/lib").symlink_to("usr/lib")
    (tmp_path / "isolated/usr/lib/liba.so").symlink_to("liba.so.1")
    (tmp_path / "isolated/usr/lib/out").symlink_to("/etc/hostname")
    (tmp_path / "isolated/usr/lib/up").symlink_to("../../../../../usr/bin/tool")
    (tmp_path / "isolated/usr/lib/round").symlink_to("round")
    return tmp_path


def view(tree: Path, *mounts: Mount) -> View:
    return View(tree, Manifest("tool", mounts or (Mount("isolated/usr", "/usr"), Mount("isolated/lib", "/lib"))))


def test_a_file_is_found_where_its_mount_shows_it(tree: Path):
    found = view(tree).find("/usr/bin/tool")
    assert found is not None
    assert (found.inside, found.path) == ("/usr/bin/tool", tree / "isolated/usr/bin/tool")


def test_links_are_followed_inside_the_sandbox(tree: Path):
    found = view(tree).find("/lib/liba.so")
    assert found is not None
    assert found.inside == "/usr/lib/liba.so.1"
    up = view(tree).find("/usr/lib/up")
    assert up is not None
    assert up.path == tree / "isolated/usr/bin/tool"


@pytest.mark.parametrize(
    "path", ["/usr/lib/out", "/usr/lib/round", "/usr/lib", "/etc/hostname", "/other/secret", "/usr/../../etc/hostname"]
)
def test_what_is_not_in_the_tree_is_not_there(tree: Path, path: str):
    assert view(tree).find(path) is None


def test_a_deeper_mount_covers_what_lies_below_it(tree: Path):
    seen = view(tree, Mount("isolated/usr", "/usr"), Mount("patch/bin", "/usr/bin"))
    found = seen.find("/usr/bin/tool")
    assert found is not None
    assert found.path == tree / "patch/bin/tool"
    assert [f.path for f in seen.files() if f.inside == "/usr/bin/tool"] == [tree / "patch/bin/tool"]


def test_selective_mounts_show_only_what_they_name(tree: Path):
    seen = view(tree, Mount("isolated/usr", "/usr/local", selective=("bin",)))
    assert [found.inside for found in seen.files()] == ["/usr/local/bin/tool"]
    assert seen.find("/usr/local/lib/liba.so.1") is None


def test_every_file_is_listed_where_it_is_seen_and_links_are_not(tree: Path):
    found = sorted(found.inside for found in view(tree).files())
    assert found == ["/lib/liba.so.1", "/usr/bin/tool", "/usr/lib/liba.so.1"]  # /lib is mounted through a link.
