"""Artifacts on the host: the newest run's, whatever an index says, until the job is gone."""

import json
import os
from pathlib import Path

import pytest

from api.types.job import Job
from controller.job import artifacts
from support.contents import open_artifacts
from support.objects import a_job

UID = "11111111-2222-3333-4444-555555555555"
DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def kept(tmp_path):
    return open_artifacts(tmp_path / "artifacts")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "artifacts"


def a_file(path="a", **changes):
    return {"path": path, "file": 0, "sizeBytes": 1, "digest": DIGEST, "mode": 0o644, **changes}


def leave(root, attempt, *files, **index):
    directory = root / UID / str(attempt)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "0").write_text("x")
    said = {"version": 1, "files": list(files), "leftOut": {}, **index}
    (directory / "index.json").write_text(json.dumps(said))


def a_typed_job(**spec):
    document = a_job(**spec)
    document["metadata"]["uid"] = UID
    return Job.model_validate(document)


def test_a_run_is_asked_to_keep_what_its_job_names_as_far_as_there_is_room(tmp_path, root):
    kept = open_artifacts(root, run_bytes=100, all_bytes=150, run_files=7)
    leave(root, 1, a_file())
    (root / UID / "1" / "0").write_bytes(b"x" * 100)
    taken = sum(path.stat().st_size for path in (root / UID / "1").iterdir())

    wanted = kept.wanted(a_typed_job(artifacts=["out"]), 2)

    assert (wanted.patterns, wanted.most_files) == (("out",), 7)
    assert wanted.most_bytes == max(0, 150 - taken)
    assert wanted.directory == str(root / UID / "2")
    assert kept.wanted(a_typed_job(), 2) is None


def test_asked_twice_to_start_a_run_what_it_has_kept_stays(kept, root):
    kept.wanted(a_typed_job(artifacts=["a"]), 1)
    leave(root, 1, a_file())

    kept.wanted(a_typed_job(artifacts=["a"]), 1)

    assert kept.newest(UID).files[0].path == "a"


def test_the_newest_run_that_left_any_is_shown(kept, root):
    leave(root, 1, a_file("one"))
    leave(root, 2, a_file("two"))
    (root / UID / "3").mkdir()

    assert (kept.newest(UID).attempt, kept.newest(UID).files[0].path) == (2, "two")


@pytest.mark.invariant("U5")
def test_of_a_run_that_was_killed_while_it_was_kept_nothing_stays(kept, root):
    leave(root, 1, a_file())
    (root / UID / "2").mkdir()
    (root / UID / "2" / "0").write_text("half")

    kept.settle(UID, 2)

    assert (kept.newest(UID).attempt, sorted(path.name for path in (root / UID).iterdir())) == (1, ["1"])


def test_those_of_earlier_runs_go_when_a_later_one_left_its_own(kept, root):
    for attempt in (1, 2, 3):
        leave(root, attempt, a_file())

    kept.settle(UID, 2)

    assert sorted(path.name for path in (root / UID).iterdir()) == ["2", "3"]


def test_what_belongs_to_no_job_is_swept(kept, root):
    leave(root, 1, a_file())

    assert kept.sweep({UID}) == ()
    assert kept.sweep(set()) == (UID,)
    assert not kept.present(UID)


def test_nothing_is_told_of_a_file_but_what_is_documented(kept, root):
    leave(root, 1, a_file("one", more="x" * 1000))

    (told,) = kept.told(UID).to_document()["files"]

    assert told == {"path": "one", "sizeBytes": 1, "digest": DIGEST, "mode": 0o644}
    assert kept.newest(UID).files[0].to_document() == told


@pytest.mark.parametrize(
    "index",
    [
        {"version": 2}, {"files": 7}, {"leftOut": []}, {"files": [{}]}, {"files": [a_file(digest="sha256:../x")]},
        {"files": [a_file(sizeBytes=-1)]}, {"files": [a_file("a\nb")]}, {"files": [a_file(file="../../x")]},
        {"leftOut": {"x": "many"}}, {"leftOut": {"x": 1}, "firstLeftOut": ["x"]},
    ],
)  # fmt: skip
def test_an_index_that_is_none_is_as_if_it_were_not_there(kept, root, index):
    leave(root, 1, **index)

    assert kept.newest(UID) is None
    with pytest.raises(FileNotFoundError):
        kept.open(UID, "a")


def test_a_link_in_place_of_a_file_that_was_kept_is_not_followed(kept, root, tmp_path):
    leave(root, 1, a_file())
    (tmp_path / "secret").write_text("x")
    (root / UID / "1" / "0").unlink()
    (root / UID / "1" / "0").symlink_to(tmp_path / "secret")

    with pytest.raises(OSError, match="symbolic links"):
        kept.open(UID, "a")


def test_a_status_names_the_first_of_many(kept, root):
    leave(root, 1, *(a_file(f"{number:04}") for number in range(150)), leftOut={"it is no file": 2})

    told = kept.newest(UID).told()

    assert (told.count, told.size_bytes, len(told.files), told.left_out) == (150, 150, 100, "2 (it is no file)")


@pytest.mark.parametrize(
    ("counts", "first", "told"),
    [
        ({"it is no file": 1}, {"it is no file": "a/fifo"}, '1 (it is no file: "a/fifo")'),
        ({"it is no file": 2}, {"it is no file": "a/fifo"}, '2 (it is no file; the first is "a/fifo")'),
        ({"it is no file": 2}, {"another": "a"}, "2 (it is no file)"),
        ({"it is no file": 2}, {"it is no file": "a\x1b[31m"}, "2 (it is no file)"),
        ({"b": 1, "a": 1}, {"a": "x" * 300}, f'1 (a: "{"x" * 200}…"), 1 (b)'),
        ({"a": 1}, {"a": 'x"), 9 (y'}, '1 (a: "x\\"), 9 (y")'),
    ],
)
def test_what_was_left_out_is_told_with_why_and_the_first_of_it(kept, root, counts, first, told):
    leave(root, 1, leftOut=counts, firstLeftOut=first)

    assert kept.newest(UID).told().left_out == told


def test_those_of_other_indexes_stay_when_a_run_left_its_own(kept, root):
    for attempt in (1, 2, 3):
        leave(root, attempt, a_file(f"of-{attempt}"))

    kept.settle(UID, 3, frozenset({1}))

    assert [kept.newest(UID, attempt) and kept.newest(UID, attempt).files[0].path for attempt in (1, 2, 3)] == [
        None, "of-2", "of-3",
    ]  # fmt: skip


@pytest.fixture
def looked_at(monkeypatch):
    """The names of files that were opened and directories that were read, as they are."""
    names, real_open, real_scandir = [], Path.open, os.scandir

    def noted_open(path, *arguments, **options):
        names.append(path.name)
        return real_open(path, *arguments, **options)

    def noted_scandir(path):
        names.append(Path(path).name)
        return real_scandir(path)

    monkeypatch.setattr(Path, "open", noted_open)
    monkeypatch.setattr(os, "scandir", noted_scandir)
    return names


def test_an_index_is_read_once_however_often_its_job_is_looked_at(kept, root, looked_at):
    leave(root, 1, a_file("one"))
    looked_at.clear()

    told = [kept.told(UID) for _ in range(3)]

    assert [each.files[0].path for each in told] == ["one"] * 3
    assert looked_at == ["index.json"]


def test_an_index_that_was_written_again_or_is_gone_is_noticed(kept, root):
    leave(root, 1, a_file("one"))
    assert kept.told(UID).files[0].path == "one"

    (root / UID / "1" / "index.json").unlink()
    leave(root, 1, a_file("other"))
    assert kept.told(UID).files[0].path == "other"

    leave(root, 2, a_file("newer"))
    assert kept.told(UID).files[0].path == "newer"

    kept.remove(UID)
    assert kept.told(UID) is None


def test_an_index_that_is_none_is_read_once_too(kept, root, looked_at):
    leave(root, 1, version=2)
    looked_at.clear()

    assert [kept.told(UID), kept.told(UID), looked_at] == [None, None, ["index.json"]]


def test_what_is_remembered_of_indexes_is_bounded(kept, root, monkeypatch, looked_at):
    monkeypatch.setattr(artifacts, "_MOST_TOLD_FILES", 3)
    for attempt in (1, 2):
        leave(root, attempt, a_file())
    assert kept._told_of(UID, 1).count == kept._told_of(UID, 2).count == 1  # Two each: one file, and the entry.
    looked_at.clear()

    assert [kept._told_of(UID, 2).count, looked_at] == [1, []]
    assert [kept._told_of(UID, 1).count, looked_at] == [1, ["index.json"]]


def test_an_index_is_read_once_however_many_files_of_it_are_listed_and_fetched_and_again_when_it_is_another(
    kept, root, looked_at
):
    leave(root, 1, a_file("one"))
    looked_at.clear()

    for _ in range(3):
        assert [file.path for file in kept.newest(UID).files] == ["one"]
        os.close(kept.open(UID, "one")[0])
    assert looked_at == ["index.json"]

    (root / UID / "1" / "index.json").unlink()
    leave(root, 1, a_file("other"))
    with pytest.raises(FileNotFoundError):
        kept.open(UID, "one")
    (root / UID / "1" / "index.json").unlink()
    assert kept.newest(UID) is None


def test_no_more_files_of_indexes_are_remembered_than_a_bound_or_one_index(kept, root, monkeypatch, looked_at):
    monkeypatch.setattr(artifacts, "_MOST_INDEXED_FILES", 3)
    for attempt in (1, 2):
        leave(root, attempt, a_file())
    leave(root, 3, *(a_file(str(number)) for number in range(5)))
    for attempt in (1, 2):
        kept.newest(UID, attempt)
    looked_at.clear()

    kept.newest(UID, 2)
    assert looked_at == []
    for attempt in (1, 3, 3, 2, 3):
        kept.newest(UID, attempt)
    assert looked_at == ["index.json"] * 4  # A list of many is read in pages: those of 3 came from one reading.


def room(kept, attempt=9):
    return 1000 - kept.wanted(a_typed_job(artifacts=["a"]), attempt).most_bytes


def test_what_runs_left_that_are_over_is_counted_once(root, looked_at):
    kept = open_artifacts(root, run_bytes=1000, all_bytes=1000)
    leave(root, 1, a_file())
    taken = sum(path.stat().st_size for path in (root / UID / "1").iterdir())
    assert room(kept) == taken
    looked_at.clear()

    assert room(kept) == taken
    assert looked_at == ["9"]  # Whose run may be keeping something now.


def test_what_was_kept_meanwhile_and_what_was_removed_counts(root):
    kept = open_artifacts(root, run_bytes=1000, all_bytes=1000)
    assert room(kept, 1) == 0
    leave(root, 1)
    (root / UID / "1" / "1").write_bytes(b"x" * 100)
    taken = sum(path.stat().st_size for path in (root / UID / "1").iterdir())
    assert [room(kept, 2), room(kept, 2)] == [taken, taken]

    (root / UID / "2" / "0").write_bytes(b"x" * 50)
    assert room(kept, 3) == taken + 50
    kept.settle(UID, 2)  # It left no index.
    assert room(kept, 3) == taken
    (root / UID / "1" / "2").write_bytes(b"x" * 25)  # After its index, which it was not to do.
    kept.settle(UID, 1)
    assert room(kept, 3) == taken + 25
    kept.remove(UID)
    assert room(kept, 3) == 0
    assert (
        open_artifacts(root, run_bytes=1000, all_bytes=1000).wanted(a_typed_job(artifacts=["a"]), 4).most_bytes == 1000
    )
