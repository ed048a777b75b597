"""Fetching what a job left: into the directory and nowhere else, whole, on after breaks."""

import hashlib
import json

import pytest

from api.kinds import JOB
from support.api_server import condition_of, run_status
from support.objects import a_job

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def leave(live):
    """Say that a job `etl` left files, by their paths; `contents` are others than their index says."""

    def leaving(files, **contents):
        uid = live.create(JOB, a_job())["metadata"]["uid"]
        directory = live.directory / "artifacts" / uid / "1"
        directory.mkdir(parents=True)
        said = []
        for number, (path, content) in enumerate(files.items()):
            (directory / str(number)).write_bytes(contents.get(path, content))
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            said.append({"path": path, "file": number, "sizeBytes": len(content), "digest": digest, "mode": 0o555})
        (directory / "index.json").write_text(json.dumps({"version": 1, "files": said, "leftOut": {}}))

    return leaving


def files_below(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_all_files_are_fetched_with_their_modes(rnx, leave, tmp_path):
    leave({"out/a.csv": CONTENT, "b": b""})

    said = rnx("job", "download", "etl", "-o", str(tmp_path))

    assert (said.code, said.err) == (0, f"2 files in {tmp_path}\n")
    assert files_below(tmp_path) == {"out/a.csv": CONTENT, "b": b""}
    assert (tmp_path / "b").stat().st_mode & 0o700 == 0o700


def test_of_a_job_of_many_runs_the_list_says_whose_each_is(rnx, live, tmp_path):
    uid = live.create(JOB, a_job(completions=2, parallelism=2, completionMode="Indexed"))["metadata"]["uid"]
    runs = [run_status("Ended", attempt, exit_code=0) | {"index": index} for index, attempt in ((0, 2), (1, 1))]
    live.set_status(JOB, "etl", phase="Succeeded", runs=runs, conditions=[condition_of("Complete")])
    empty = f"sha256:{hashlib.sha256().hexdigest()}"
    for attempt, names in ((1, "a"), (2, "ab")):
        directory = live.directory / "artifacts" / uid / str(attempt)
        directory.mkdir(parents=True)
        files = [{"path": name, "file": 0, "sizeBytes": 0, "digest": empty, "mode": 0o644} for name in names]
        (directory / "index.json").write_text(json.dumps({"version": 1, "files": files, "leftOut": {}}))

    table = [line.split() for line in rnx("job", "download", "etl", "--list").lines]

    assert table == [
        ["SIZE", "DIGEST", "INDEX", "PATH"],
        *(["0", empty, *row] for row in (("0", "a"), ("0", "b"), ("1", "a"))),
    ]
    one = [line.split() for line in rnx("job", "download", "etl", "--list", "--index=1").lines]
    assert one == [["SIZE", "DIGEST", "PATH"], ["0", empty, "a"]]


def test_a_single_file_is_told_of_as_one(rnx, leave, tmp_path):
    leave({"a": b""})

    assert rnx("job", "download", "etl", "-o", str(tmp_path)).err == f"1 file in {tmp_path}\n"


def test_a_pattern_chooses(rnx, leave, tmp_path):
    leave({"out/a.csv": b"x", "b": b""})

    rnx("job", "download", "et", "**/*.csv", "-o", str(tmp_path))

    assert files_below(tmp_path) == {"out/a.csv": b"x"}


def test_the_list_shows_sizes_and_digests(rnx, leave, tmp_path):
    leave({"out/a.csv": CONTENT})

    said = rnx("job", "download", "etl", "--list", "-o", str(tmp_path))

    assert said.lines[1].split() == [str(len(CONTENT)), f"sha256:{hashlib.sha256(CONTENT).hexdigest()}", "out/a.csv"]
    assert json.loads(rnx("job", "download", "etl", "--json").out)["attempt"] == 1
    assert files_below(tmp_path) == {}


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil", ".."])
@pytest.mark.invariant("U4")
def test_nothing_is_made_outside_of_the_directory(rnx, leave, tmp_path, path):
    leave({path: b"x"})
    (tmp_path / "in").mkdir()

    said = rnx("job", "download", "etl", "-o", str(tmp_path / "in"))

    assert (said.code, "no path inside of a directory" in said.err) == (1, True)
    assert files_below(tmp_path) == {}


def test_a_link_that_lies_in_the_way_is_not_followed(rnx, leave, tmp_path):
    leave({"out/a": b"x"})
    for name in ("in", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "out").symlink_to(tmp_path / "elsewhere")

    said = rnx("job", "download", "etl", "-o", str(tmp_path / "in"))

    assert (said.code, "is a link: remove it" in said.err) == (1, True)
    assert files_below(tmp_path) == {}


def test_a_download_that_broke_off_goes_on_where_it_was(rnx, leave, live, tmp_path):
    leave({"a": CONTENT})
    digest = hashlib.sha256(CONTENT).hexdigest()
    (tmp_path / f".a.{digest[:12]}.part").write_bytes(CONTENT[:100_000])

    said = rnx("job", "download", "etl", "-o", str(tmp_path))

    assert said.code == 0
    assert files_below(tmp_path) == {"a": CONTENT}


def test_what_is_not_what_was_told_is_not_kept(rnx, leave, tmp_path):
    leave({"a": CONTENT}, a=bytes(len(CONTENT)))

    said = rnx("job", "download", "etl", "-o", str(tmp_path))

    assert (said.code, "what came is another content" in said.err) == (1, True)
    assert files_below(tmp_path) == {}


def test_a_job_that_left_nothing_says_why_that_may_be(rnx, live, tmp_path):
    live.create(JOB, a_job())

    said = rnx("job", "download", "etl", "-o", str(tmp_path))

    assert (said.code, "it has no spec.artifacts" in said.err) == (1, True)


def test_job_run_says_what_is_to_be_kept(rnx, live):
    rnx("job", "run", "--detach", "--name=etl", "--artifact=out/**", "--artifact=*.csv", "true")

    assert live.get(JOB, "etl")["spec"]["artifacts"] == ["out/**", "*.csv"]


def test_a_pattern_that_can_match_nothing_is_refused_with_its_flag(rnx, live):
    said = rnx("job", "run", "--detach", "--artifact=/work/out", "true")

    assert (said.code, "--artifact" in said.err, "must be relative to /work" in said.err) == (2, True, True)


def test_why_there_is_nothing_is_told_from_what_the_job_is(rnx, live, leave, tmp_path):
    live.create(JOB, a_job("none"))
    live.create(JOB, a_job("going", artifacts=["out"]))
    live.create(JOB, a_job("over", artifacts=["out", "*.log"]))
    live.set_status(JOB, "over", conditions=[condition_of("Complete")])
    leave({"a": b""})

    def why(*arguments):
        said = rnx("job", "download", *arguments, "-o", str(tmp_path))
        assert said.code == 1
        return said.err.removeprefix("error: cannot download files of job ").rstrip("\n")

    assert why("none") == "none: it has no spec.artifacts: say what to keep with rnx job run --artifact=PATTERN"
    assert why("going").startswith("going: it has not ended, and files are kept when a run ends: rnx wait job/going ")
    assert why("over") == "over: its last run left no file that spec.artifacts names: out *.log"
    assert why("etl", "*.csv") == "etl: no file of it matches *.csv: rnx job download etl --list shows them"
    assert files_below(tmp_path) == {}
