"""Gathering from this host: directories as they are, links kept inside, and what is missing said by name."""

import shutil
from pathlib import Path

import pytest

from api.packages.pack import Contents, Link
from controller.engine.errors import TerminalError
from controller.runtime.build import host_tree


def test_a_directory_is_added_with_its_links_and_those_that_leave_it_are_followed(tmp_path):
    home, outside = tmp_path / "jdk", tmp_path / "etc"
    (home / "lib").mkdir(parents=True)
    outside.mkdir()
    (home / "lib/modules").write_text("modules")
    (home / "lib/same").symlink_to("modules")
    (outside / "security").write_text("security")
    (home / "conf").symlink_to(outside / "security")
    (home / "src.zip").symlink_to("../nowhere.zip")
    shutil.copy("/bin/true", home / "lib/program")
    contents = Contents()

    modules = host_tree._add_directory(contents, home)

    assert {path: content for path, (content, _) in contents.entries.items()} == {
        f"isolated{home}/lib/modules": home / "lib/modules",
        f"isolated{home}/lib/same": Link("modules"),
        f"isolated{home}/conf": outside / "security",
    }
    assert modules == [(f"isolated{home}/lib/program", home / "lib/program")]


def test_a_language_that_is_not_there_is_refused_with_the_package_that_has_it(tmp_path):
    with pytest.raises(TerminalError, match="it has no go: install golang-go, or use base.from debian"):
        host_tree.gather("go", "", path=str(tmp_path))


def test_a_pip_is_found_as_a_wheel_and_the_newest_is_taken(tmp_path):
    for version in ("22.0", "23.1"):
        (tmp_path / f"pip-{version}-py3-none-any.whl").write_text("")

    assert host_tree.find_pip([tmp_path / "none", tmp_path]) == tmp_path / "pip-23.1-py3-none-any.whl"
    assert host_tree.find_pip([Path("/nowhere")]) is None


def test_no_language_is_a_shell_and_the_usual_tools():
    found = host_tree.gather(None, "")

    assert {"isolated/bin/sh", "isolated/usr/bin/cat", "isolated/etc/passwd"} <= set(found.contents.entries)
    assert found.version == ""
