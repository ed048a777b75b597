"""Writing into a root: nothing through a link, nothing over what a package has."""

import os

import pytest

from api.packages.manifest import Mount
from api.packages.pack import Contents, Link
from controller.engine.errors import TerminalError
from controller.runtime.build import fill
from controller.runtime.trees.inventory import Inventory


def everywhere(path: str) -> str:
    return path


def test_files_texts_and_links_are_written_with_their_modes(tmp_path):
    source = tmp_path / "tool"
    source.write_text("tool")
    contents = Contents()
    contents.add("isolated/usr/bin/tool", source, 0o755)
    contents.add("isolated/etc/motd", b"hello")
    contents.add("isolated/usr/bin/t", Link("tool"))
    (tmp_path / "root").mkdir()

    written = fill.write(contents, "isolated", tmp_path / "root", everywhere)

    assert written == {"usr/bin/tool", "etc/motd", "usr/bin/t"}
    assert os.access(tmp_path / "root/usr/bin/tool", os.X_OK)
    assert os.readlink(tmp_path / "root/usr/bin/t") == "tool"


def test_nothing_is_written_through_a_link_in_the_root(tmp_path):
    contents = Contents()
    contents.add("isolated/etc/passwd", b"evil")
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "root/etc").symlink_to(tmp_path / "outside")

    with pytest.raises(TerminalError, match="cannot put /etc/passwd into the tree: etc in its path is no directory"):
        fill.write(contents, "isolated", tmp_path / "root", everywhere)
    assert os.listdir(tmp_path / "outside") == []


def test_what_has_no_place_is_left_out(tmp_path):
    contents = Contents()
    contents.add("isolated/a", b"a")
    contents.add("isolated/b", b"b")

    assert fill.write(contents, "isolated", tmp_path, lambda path: None if path == "a" else path) == {"b"}
    assert not (tmp_path / "a").exists()


def test_another_runtime_is_copied_as_its_mounts_show_it_and_never_linked(tmp_path):
    tree = tmp_path / "tree"
    (tree / "isolated/usr/bin").mkdir(parents=True)
    (tree / "isolated/usr/bin/sh").write_text("sh")
    (tree / "isolated/bin").symlink_to("usr/bin")
    (tree / "runtime.yml").touch()
    (tree / "extra").mkdir()
    for name in ("shown", "hidden"):
        (tree / "extra" / name).write_text(name)
    mounts = (
        Mount("isolated/usr", "/usr"), Mount("isolated/bin", "/bin"), Mount("extra", "/opt/x", selective=("shown",)),
    )  # fmt: skip
    (tmp_path / "root").mkdir()

    written = fill.copy(Inventory("a@1.0.0", tree), mounts, tmp_path / "root", everywhere)

    assert written == {"usr/bin/sh", "bin", "opt/x/shown"}
    copied, original = (tmp_path / "root/usr/bin/sh").stat(), (tree / "isolated/usr/bin/sh").stat()
    assert copied.st_ino != original.st_ino
    assert copied.st_mtime_ns == original.st_mtime_ns
