"""What is told of a tree that was made again and is another one."""

from dataclasses import replace
from pathlib import Path

import pytest

from controller.runtime.build import lock
from controller.runtime.build.lock import Package
from controller.runtime.trees import remade
from controller.runtime.trees.origin import Origin

BEFORE = Origin("a", "1.0.0", "", "", "", 0, 0, 0, "", "build", "asked", "a" * 64)
AFTER = replace(BEFORE, digest="b" * 64)


def a_tree(path: Path, *packages: Package) -> Path:
    path.mkdir()
    (path / lock.NAME).write_text(lock.text("a", "1.0.0", "ubuntu-amd64", "", {"python_packages": packages}))
    return path


def test_the_packages_that_changed_are_named(tmp_path):
    old = a_tree(tmp_path / "old", *(Package(name, "1") for name in ("a", "b", "c", "d", "same")))
    new = a_tree(tmp_path / "new", *(Package(name, "2") for name in ("a", "b", "c", "e")), Package("same", "1"))

    assert remade.told(BEFORE, AFTER, old, new) == (
        "its content is another than before, digest bbbbbbbbbbbb not aaaaaaaaaaaa: a 2 not 1, b 2 not 1, c 2 not 1 "
        "and 2 more"
    )


@pytest.mark.parametrize(
    "before",
    [None, AFTER, replace(BEFORE, digest=""), replace(BEFORE, fingerprint="other"), replace(BEFORE, kind="archive")],
)
def test_nothing_is_told_where_nothing_was_the_same_before_or_still_is(tmp_path, before):
    assert remade.told(before, AFTER, tmp_path, tmp_path) == ""


def test_names_of_any_length_and_of_control_characters_are_told_short_and_printable(tmp_path):
    old = a_tree(tmp_path / "old", Package("x\x1b" * 100_000, "1"))
    said = remade.told(BEFORE, AFTER, old, a_tree(tmp_path / "new", Package("y", "1" * 100_000)))

    assert (len(said) < 600, said.isprintable()) == (True, True)


@pytest.mark.parametrize("text", ["  - {not json", "  - {}", "  - [[[", "\x00"])
def test_a_lock_that_cannot_be_read_names_nothing(tmp_path, text):
    new = a_tree(tmp_path / "new")
    (new / lock.NAME).write_text(text)

    assert remade.told(BEFORE, AFTER, tmp_path / "none", new).endswith("digest bbbbbbbbbbbb not aaaaaaaaaaaa")
