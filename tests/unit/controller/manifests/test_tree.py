import os
from pathlib import Path

import pytest

from controller.linux import mount_api
from controller.manifests import tree
from controller.manifests.documents import InvalidText
from controller.manifests.sources import FeedError
from support.in_child import in_own_mounts


def paths(root: Path) -> list[str]:
    return [found.path for found in tree.walk(str(root))]


def test_manifests_are_found_below_in_the_order_of_their_paths(root: Path):
    (root / "sub" / "deep").mkdir(parents=True)
    for name in ("z.yaml", "a.yml", "sub/b.json", "sub/deep/c.yaml", "README.md", "sub/notes.txt"):
        (root / name).touch()

    assert paths(root) == ["a.yml", "sub/b.json", "sub/deep/c.yaml", "z.yaml"]


@pytest.mark.parametrize(
    "name",
    [
        ".a.yaml.swp",
        "a.yaml~",
        ".#a.yaml",
        "#a.yaml#",
        "4913",
        "a.yaml.tmp",
        ".hidden.yaml",
        "a.yaml.swx",
        "a.yaml.orig",
        "~a.yaml",
    ],
)
def test_what_editors_leave_lying_about_does_not_count(root: Path, name: str):
    (root / name).touch()

    assert paths(root) == []


def test_hidden_directories_do_not_count(root: Path):
    (root / ".git").mkdir()
    (root / ".git" / "a.yaml").touch()

    assert paths(root) == []


def test_a_mounted_config_map_is_read_through_its_links(root: Path):
    (root / "..2026_01").mkdir()
    (root / "..2026_01" / "job.yaml").write_text("a: 1")
    (root / "..data").symlink_to("..2026_01")
    (root / "job.yaml").symlink_to("..data/job.yaml")

    assert paths(root) == ["job.yaml"]


def test_linked_directories_are_followed_and_circles_are_not(root: Path, tmp_path: Path):
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "a.yaml").touch()
    (root / "current").symlink_to(tmp_path / "release")
    (root / "me").symlink_to(root)

    assert paths(root) == ["current/a.yaml"]


def test_a_link_to_nowhere_is_an_error_and_not_an_absence(root: Path):
    (root / "job.yaml").symlink_to("gone.yaml")
    (root / "current").symlink_to("gone")

    assert [(found.path, found.error) for found in tree.walk(str(root))] == [
        ("current", "No such file or directory: make it readable, or remove it"),
        ("job.yaml", "No such file or directory: make it readable, or remove it"),
    ]


def test_pipes_and_directories_with_the_name_of_a_manifest_are_passed_over(root: Path):
    os.mkfifo(root / "pipe.yaml")
    (root / "dir.yaml").mkdir()

    assert paths(root) == []


def test_a_missing_directory_is_an_error_that_says_what_to_do(tmp_path: Path):
    with pytest.raises(FeedError, match="No such file or directory: make it; nothing is pruned"):
        tree.walk(str(tmp_path / "nowhere"))


def test_a_file_is_read_with_its_signature(root: Path):
    (root / "a.yaml").write_text("a: 1")
    [found] = tree.walk(str(root))

    assert tree.read_file(str(root / "a.yaml")) == (b"a: 1", found.signature)


def test_a_huge_file_is_refused_by_its_size(root: Path):
    with open(root / "a.yaml", "wb") as file:
        file.truncate(10 << 30)

    with pytest.raises(InvalidText, match="it has 10737418240 bytes, the most is 4194304: split it"):
        tree.read_file(str(root / "a.yaml"))


def test_a_directory_that_anybody_may_write_to_is_refused(root: Path):
    root.chmod(0o777)

    with pytest.raises(FeedError, match="anybody may write to it: take that away with chmod o-w; nothing is pruned"):
        tree.walk(str(root))


def test_files_and_directories_below_that_anybody_may_write_to_are_not_read(root: Path):
    (root / "sub").mkdir()
    (root / "sub").chmod(0o777)
    (root / "a.yaml").touch()
    (root / "a.yaml").chmod(0o666)
    (root / "notes.txt").touch()
    (root / "notes.txt").chmod(0o666)

    assert [(found.path, found.signature, found.error) for found in tree.walk(str(root))] == [
        ("a.yaml", None, "anybody may write to it: take that away with chmod o-w"),
        ("sub", None, "anybody may write to it: take that away with chmod o-w"),
    ]


@pytest.mark.needs_root
def test_a_directory_of_any_mode_is_read_if_it_is_mounted_read_only(root: Path):
    root.chmod(0o777)
    (root / "a.yaml").touch()

    def mounted_read_only() -> list[str]:
        with mount_api.clone_tree(root) as mounted:
            mount_api.set_attributes(mounted, mount_api.MountAttribute.RDONLY)
            mount_api.attach(mounted, root)
        return paths(root)

    assert in_own_mounts(mounted_read_only) == ["a.yaml"]
