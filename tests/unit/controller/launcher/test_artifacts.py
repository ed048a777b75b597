"""Keeping files of a run's /work: what matches, nothing from outside of it, so much and no more, whole or not at all."""

import errno
import hashlib
import json
import os
import socket

import pytest

from controller.launcher import artifacts
from controller.launcher.artifacts import INDEX, Keeper
from controller.launcher.runspec import Artifacts
from controller.linux.removal import remove_tree
from support.deep_tree import make_deep_tree

SECONDS = 60.0


@pytest.fixture
def work(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "kept").mkdir()
    return tmp_path / "work"


def keep(work, *patterns, most_bytes=1 << 30, most_files=1000, seconds=SECONDS, is_stopped=lambda: False):
    """Keep what matches; return the index, with the content of each file."""
    target = work.parent / "kept"
    keeper = Keeper(Artifacts(patterns or ("**",), str(target), most_bytes, most_files))
    keeper.take(str(work))
    keeper.keep(seconds, is_stopped)
    said = json.loads((target / INDEX).read_text())
    contents = {file["path"]: (target / str(file["file"])).read_bytes() for file in said["files"]}
    for file in said["files"]:
        content = contents[file["path"]]
        assert (file["sizeBytes"], file["digest"]) == (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
    return contents, said["leftOut"]


def test_what_matches_is_kept_with_its_content_and_mode(work):
    (work / "out" / "deep").mkdir(parents=True)
    (work / "out" / "deep" / "a.csv").write_bytes(os.urandom(3_000_000))
    (work / "out" / "b.txt").write_text("no")
    (work / "run.sh").write_text("x")
    (work / "run.sh").chmod(0o6750)

    contents, left_out = keep(work, "**/*.csv", "run.sh")

    assert contents == {"out/deep/a.csv": (work / "out/deep/a.csv").read_bytes(), "run.sh": b"x"}
    assert left_out == {}
    said = json.loads((work.parent / "kept" / INDEX).read_text())["files"]
    assert [(file["path"], file["mode"]) for file in said] == [("out/deep/a.csv", 0o644), ("run.sh", 0o750)]


@pytest.mark.invariant("U4")
def test_nothing_outside_of_work_is_read_whatever_leads_there(work):
    secret = work.parent / "secret"
    secret.mkdir()
    (secret / "key").write_text("the key")
    (work / "absolute").symlink_to(secret / "key")
    (work / "up").symlink_to("../secret/key")
    (work / "directory").symlink_to(secret)
    (work / "deep").mkdir()
    (work / "deep" / "far").symlink_to("../../../../../../../" + str(secret / "key"))
    (work / "proc").symlink_to("/proc/self/root/etc/passwd")
    (work / "loop").symlink_to("loop")

    contents, left_out = keep(work, "**", "directory/*")

    assert contents == {}
    assert sum(left_out.values()) == 6


def test_a_link_to_a_file_in_work_is_kept_as_that_file(work):
    (work / "models").mkdir()
    (work / "models" / "v3").write_text("three")
    (work / "latest").symlink_to("models/v3")
    (work / "all").symlink_to("models")

    contents, left_out = keep(work, "latest", "all")

    assert contents == {"latest": b"three"}
    assert left_out == {"it is no file": 1}


def test_what_is_no_file_is_left_out_and_holds_nothing_up(work):
    os.mkfifo(work / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(work / "socket"))
    (work / "a").write_text("x")

    contents, left_out = keep(work)

    assert contents == {"a": b"x"}
    assert left_out == {"it is no file": 2}


def test_holes_are_kept_as_holes_and_digested_as_zeros(work):
    with (work / "sparse").open("wb") as file:
        file.seek(5_000_000)
        file.write(b"middle")
        file.truncate(200 << 20)

    keep(work)

    found = (work.parent / "kept" / "0").stat()
    assert (found.st_size, found.st_blocks * 512 < 1 << 20) == (200 << 20, True)


def test_a_file_that_is_too_large_is_left_out_and_smaller_ones_are_kept(work):
    with (work / "huge").open("wb") as file:
        file.truncate(1 << 40)
    for name in "abc":
        (work / name).write_text("xx")

    contents, left_out = keep(work, most_bytes=5)

    assert sorted(contents.values()) == [b"xx", b"xx"]
    assert left_out == {"all together are more than 5 bytes": 2}


def test_so_many_files_and_no_more_are_kept(work):
    for number in range(20):
        (work / f"{number}").touch()

    contents, left_out = keep(work, most_files=7)

    assert (len(contents), left_out) == (7, {"there are more than 7 of them": 1})


def test_so_many_files_and_no_more_are_looked_at(work, monkeypatch):
    monkeypatch.setattr(artifacts, "_MOST_LOOKED_AT", 50)
    for number in range(100):
        (work / f"{number}").touch()

    contents, left_out = keep(work, "none")

    assert (contents, left_out) == ({}, {"/work has more than 50 files": 1})


def test_a_tree_of_any_depth_is_walked_to_a_depth(work):
    make_deep_tree(work / "deep", 3000)
    (work / "a").write_text("x")

    contents, left_out = keep(work)
    remove_tree(work / "deep")

    assert contents == {"a": b"x"}
    assert left_out == {"its path is too long, too deep, or no text": 1}


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"\x1b[31m"])
def test_what_has_no_printable_name_is_left_out(work, name):
    with open(os.path.join(os.fsencode(work), name), "wb") as file:
        file.write(b"x")

    assert keep(work) == ({}, {"its path is too long, too deep, or no text": 1})


def test_a_stop_ends_it_with_what_there_is(work):
    for name in "abc":
        (work / name).write_text("x")
    asked = iter((False, True))

    contents, left_out = keep(work, is_stopped=lambda: next(asked))

    assert (len(contents), left_out) == (1, {"the time for it was over": 1})


def test_the_time_for_it_ends_amid_a_file_too_and_nothing_of_that_is_kept(work, monkeypatch):
    with (work / "a").open("wb") as file:
        file.truncate(100 << 30)
    moments = iter(range(1000))
    monkeypatch.setattr(artifacts.time, "monotonic", lambda: float(next(moments)))

    contents, left_out = keep(work, most_bytes=1 << 60, seconds=3)

    assert (contents, left_out) == ({}, {"the time for it was over": 1})
    assert sorted(os.listdir(work.parent / "kept")) == [INDEX]


@pytest.mark.invariant("U5")
def test_without_room_on_the_disk_what_was_kept_is_whole(work, monkeypatch):
    (work / "a").write_bytes(b"x" * 100)
    real = os.pwrite

    def full(fd, piece, at):
        if len(piece) > 10:
            real(fd, piece[:10], at)
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, piece, at)

    monkeypatch.setattr(os, "pwrite", full)

    contents, left_out = keep(work)

    assert (contents, left_out) == ({}, {"cannot go on: No space left on device": 1})


def test_of_what_was_left_out_the_first_of_each_reason_is_named(work):
    os.mkfifo(work / "fifo")
    (work / "away").symlink_to("/etc")
    (work / "large").write_bytes(bytes(2000))

    keep(work, most_bytes=1000)

    said = json.loads((work.parent / "kept" / INDEX).read_text())
    assert said["firstLeftOut"] == {
        "it is no file": "fifo",
        "it is a link that leads out of /work or nowhere": "away",
        "all together are more than 1000 bytes": "large",
    }
