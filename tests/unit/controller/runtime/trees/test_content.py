"""A tree on its way in: uniform, listed, digested, shared."""

import hashlib
import importlib.util
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from controller.engine.errors import TerminalError
from controller.runtime.trees.content import Intake, Taken
from controller.runtime.trees.store import NORMAL_TIME, Store
from support.registry_fixtures import a_tree


def take(tmp_path: Path, tree: Path, known: dict[str, bytes] | None = None) -> Taken:
    intake = Intake(tree, Store(tmp_path, tmp_path / "spare"), known or {})
    taken = intake.take(tmp_path / "list")
    intake.share(tmp_path / "list")
    return taken


def listed(tmp_path: Path) -> list[str]:
    return (tmp_path / "list").read_text().splitlines()


@pytest.mark.invariant("I8")
def test_the_digest_is_that_of_the_list_and_the_list_says_all_that_is_there(tmp_path: Path):
    tree = a_tree(tmp_path / "tree", "a")
    (tree / "isolated" / "bin" / "python").symlink_to("python3")
    (tree / "isolated" / "bin" / "python3").chmod(0o711)

    taken = take(tmp_path, tree)

    manifest, program = (
        hashlib.sha256((tree / p).read_bytes()).hexdigest() for p in ("runtime.yml", "isolated/bin/python3")
    )
    assert listed(tmp_path) == [
        "d isolated",
        "d isolated/bin",
        "l isolated/bin/python python3",
        f"x {program} isolated/bin/python3",
        f"f {manifest} runtime.yml",
    ]
    assert taken.digest == hashlib.sha256((tmp_path / "list").read_bytes()).hexdigest()


def test_equal_trees_have_equal_digests_whatever_their_times_modes_and_order_were(tmp_path: Path):
    first, second = a_tree(tmp_path / "one" / "a", "a"), a_tree(tmp_path / "two" / "a", "a")
    (second / "runtime.yml").chmod(0o600)
    (second / "isolated").chmod(0o700)
    os.utime(second / "runtime.yml", (5, 5))

    assert take(tmp_path, first).digest == take(tmp_path, second).digest


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "isolated/bin/python3").write_text("!#"),
        lambda tree: (tree / "isolated/bin/python3").chmod(0o755),
        lambda tree: (tree / "isolated/bin/python3").rename(tree / "isolated/bin/python4"),
        lambda tree: (tree / "isolated/empty").mkdir(),
        lambda tree: (tree / "isolated/link").symlink_to("bin"),
    ],
)
def test_what_a_job_can_see_changes_the_digest(tmp_path: Path, change: object):
    first, second = a_tree(tmp_path / "one" / "a", "a"), a_tree(tmp_path / "two" / "a", "a")
    change(second)

    assert take(tmp_path, first).digest != take(tmp_path, second).digest


@pytest.mark.needs_root
def test_everything_is_made_uniform(tmp_path: Path):
    tree = a_tree(tmp_path / "tree", "a")
    program = tree / "isolated" / "bin" / "python3"
    os.chown(program, 1234, 1234)
    program.chmod(0o6711)
    (tree / "isolated").chmod(0o2777)

    take(tmp_path, tree)

    shown = [(s.st_uid, s.st_gid, s.st_mode & 0o7777) for s in (os.stat(program), os.stat(tree / "isolated"))]
    assert shown == [(0, 0, 0o755), (0, 0, 0o755)]
    assert program.stat().st_mtime == NORMAL_TIME


def test_a_pipe_is_refused(tmp_path: Path):
    tree = a_tree(tmp_path / "tree", "a")
    os.mkfifo(tree / "isolated" / "pipe")

    with pytest.raises(TerminalError, match="isolated/pipe is no file, directory or link"):
        take(tmp_path, tree)


def test_the_second_tree_shares_the_files_of_the_first_and_not_the_empty_ones(tmp_path: Path):
    trees = [a_tree(tmp_path / str(number) / "a", "a") for number in range(2)]
    for number, tree in enumerate(trees):
        (tree / "isolated" / "own").write_text(str(number))
        (tree / "isolated" / "empty").write_text("")
        take(tmp_path, tree)

    one, two = ({p.relative_to(t): p.stat().st_ino for p in t.rglob("*") if p.is_file()} for t in trees)
    shared = {str(path) for path in one if one[path] == two[path]}
    assert shared == {"runtime.yml", "isolated/bin/python3"}


@pytest.mark.invariant("I10")
def test_a_file_that_somebody_elses_tree_has_too_is_copied_before_it_is_changed(tmp_path: Path):
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    theirs.chmod(0o600)
    before = theirs.stat()
    tree = a_tree(tmp_path / "tree", "a")
    os.link(theirs, tree / "isolated" / "linked")

    take(tmp_path, tree)

    after = theirs.stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (before.st_mode, before.st_mtime_ns, 1)
    assert (tree / "isolated" / "linked").read_text() == "theirs"


def test_digests_that_are_known_are_taken_on_trust(tmp_path: Path):
    tree = a_tree(tmp_path / "tree", "a")
    take(tmp_path, tree, {"runtime.yml": b"\xab" * 32})

    assert f"f {'ab' * 32} runtime.yml" in listed(tmp_path)


@pytest.mark.parametrize("name", ["module", "Module"])
def test_python_uses_what_was_compiled_though_other_times_are_made_the_same(tmp_path: Path, name: str):
    tree = a_tree(tmp_path / "tree", "a")
    source = tree / f"{name}.py"
    source.write_text("x = 1\n")
    os.utime(source, (1_700_000_000, 1_700_000_000))
    py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)

    take(tmp_path, tree)

    assert source.stat().st_mtime == 1_700_000_000
    said = subprocess.run(
        [sys.executable, "-S", "-v", "-B", "-c", f"import {name}"], cwd=tree, capture_output=True, text=True, check=True
    ).stderr
    assert f"{Path(importlib.util.cache_from_source(str(source))).name} matches" in said


def test_a_source_whose_compiled_form_does_not_ask_for_its_time_has_the_time_of_all(tmp_path: Path):
    tree = a_tree(tmp_path / "tree", "a")
    for name, mode in (
        ("hashed", py_compile.PycInvalidationMode.UNCHECKED_HASH),
        ("stale", py_compile.PycInvalidationMode.TIMESTAMP),
    ):
        source = tree / f"{name}.py"
        source.write_text("x = 1\n")
        py_compile.compile(str(source), invalidation_mode=mode)
        os.utime(source, (5, 5))
    (tree / "plain.py").write_text("x = 1\n")
    (tree / "library.jar").write_text("PK")
    os.utime(tree / "library.jar", (1_600_000_000, 1_600_000_000))

    take(tmp_path, tree)

    times = {name: (tree / name).stat().st_mtime for name in ("hashed.py", "stale.py", "plain.py", "library.jar")}
    assert times == {
        "hashed.py": NORMAL_TIME,
        "stale.py": NORMAL_TIME,
        "plain.py": NORMAL_TIME,
        "library.jar": 1_600_000_000,
    }
