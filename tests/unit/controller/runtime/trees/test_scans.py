"""Scans that remember: that they do, and when they do not. That they are right: tests/property/test_runtime_scans.py."""

import time
from pathlib import Path

import pytest

from controller.engine.errors import TransientError
from controller.runtime.trees import tree
from controller.runtime.trees.scans import SETTLED_NS, Scans
from support.file_clock import settle
from support.registry_fixtures import a_tree


@pytest.fixture
def root(tmp_path) -> Path:
    for version in ("1.0.0", "2.0.0"):
        a_tree(tmp_path / f"a-{version}", "a")
    settle()
    return tmp_path


@pytest.mark.invariant("I13")
def test_only_what_changed_is_read_again(root):
    scans = Scans(root)
    first = scans.scan()
    (root / "a-2.0.0" / tree.MANIFEST).write_bytes((root / "a-2.0.0" / tree.MANIFEST).read_bytes() + b"\n")
    a_tree(root / "a-3.0.0", "a")
    second = scans.scan()

    assert [found.version for found in second] == ["1.0.0", "2.0.0", "3.0.0"]
    assert second[0] is first[0]
    assert second[1] is not first[1]


def test_what_was_changed_a_moment_ago_is_read_again_as_its_time_may_not_tell_of_the_next_change(root):
    a_tree(root / "a-3.0.0", "a")
    scans = Scans(root)
    young, again = scans.scan(), scans.scan()
    assert again[0] is young[0]
    assert again[2] is not young[2]

    settle()
    assert scans.scan()[2] is scans.scan()[2]


def test_how_old_a_change_is_is_seen_before_the_file_is_read_however_long_that_takes(root):
    """Of a change in the middle of that the time of the file does not tell, if its tick was not over."""
    long = "\n".join(f"# {'x' * 60}" for _ in range(10)) + "\nenvironment:\n"
    a_tree(root / "a-3.0.0", "a", long + "".join(f"  N{number}: v\n" for number in range(20_000)))
    before = time.monotonic_ns()
    scans = Scans(root)
    young = scans.scan()
    took = time.monotonic_ns() - before

    assert young[2].is_valid
    assert took > SETTLED_NS
    assert scans.scan()[2] is not young[2]


def test_what_went_is_forgotten(root):
    scans = Scans(root)
    scans.scan()
    for path in (root / "a-2.0.0").iterdir():
        path.rename(root / f"away-{path.name}")

    assert [found.is_valid for found in scans.scan()] == [True, False, False]
    assert len(scans._known) == 1


def test_a_root_that_cannot_be_read_says_so_and_one_that_is_not_there_is_empty(root, tmp_path):
    assert Scans(root / "missing").scan() == ()
    (tmp_path / "file").touch()
    with pytest.raises(TransientError, match="cannot read the runtime root"):
        Scans(tmp_path / "file").scan()
