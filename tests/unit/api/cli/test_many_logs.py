"""`rnx logs` and `rnx job run` of jobs of many runs, on the real API; the tests play the controller."""

import json

import pytest

from api.cli.many_logs import Lines
from api.client import Selection
from api.client_watch import Watch
from api.kinds import JOB
from support.api_server import condition_of, run_status
from support.objects import a_job

INDEXED = {"completions": 3, "parallelism": 2, "completionMode": "Indexed"}


def of_index(index, *fields, **more):
    return run_status(*fields, **more) | {"index": index}


@pytest.fixture
def sweep(live):
    live.create(JOB, a_job("sweep", **INDEXED))
    runs = [
        of_index(0, "Ended", 1, exit_code=1, reason="Error"),
        of_index(1, "Running", 2),
        of_index(0, "Ended", 3, exit_code=0, reason="Completed"),
        of_index(2, "Pending", 4),
    ]
    live.set_status(JOB, "sweep", phase="Running", active=2, ready=1, runs=runs)
    live.write_log("sweep", 1, "stdout failing")
    live.write_log("sweep", 2, "stdout one", "stderr two")
    live.write_log("sweep", 3, "stdout well")


def test_what_each_index_wrote_last_is_shown_with_its_pod(rnx, sweep):
    assert rnx("logs", "sweep").lines == ["[sweep-0-3] well", "[sweep-1-2] one", "[sweep-1-2] two"]


def test_as_json_each_line_says_which_run_wrote_it(rnx, sweep):
    said = [json.loads(line) for line in rnx("logs", "sweep", "--json").lines]

    assert [(each["pod"], each["stream"], each["line"]) for each in said] == [
        ("sweep-0-3", "stdout", "well"), ("sweep-1-2", "stdout", "one"), ("sweep-1-2", "stderr", "two"),
    ]  # fmt: skip


def test_one_is_chosen_by_its_index_its_attempt_or_its_pod(rnx, sweep):
    assert rnx("logs", "sweep", "--index", "0").lines == ["well"]
    assert rnx("logs", "sweep", "--attempt", "1").lines == ["failing"]
    assert rnx("logs", "sweep-0-1").lines == ["failing"]
    assert rnx("job", "log", "sweep", "--index", "1").lines == ["one", "two"]


@pytest.mark.parametrize(
    "words",
    ["logs --index=1 etl", "job download --index=1 etl", "exec --index=1 etl -- true", "cp --index=1 etl:/a ."],
)
def test_an_index_of_a_job_without_any_is_an_error(rnx, live, words):
    live.create(JOB, a_job("etl"))
    live.set_status(JOB, "etl", phase="Running", runs=[run_status("Running")])

    said = rnx(*words.split())

    assert (said.code, said.err) == (1, "error: job etl is not indexed, so its runs have no index: leave --index out\n")


def test_an_index_without_a_run_is_an_error(rnx, sweep):
    said = rnx("logs", "sweep", "--index", "7")

    assert (said.code, "job sweep has no run of index 7 on record" in said.err) == (1, True)


def test_an_index_and_an_attempt_are_not_given_together(rnx, sweep):
    assert "cannot be given together" in rnx("logs", "sweep", "--index", "1", "--attempt", "2").err


def test_a_job_of_many_runs_that_has_not_run_says_why(rnx, live):
    live.create(JOB, a_job("late", **INDEXED))

    assert "job late has not run yet: Pending" in rnx("logs", "late").err


def test_following_shows_all_runs_and_those_to_come_until_the_job_ends(live, sweep, started):
    following = started("logs", "-f", "sweep")
    first = {following.line() for _ in range(4)}
    assert first == {"[sweep-0-1] failing\n", "[sweep-1-2] one\n", "[sweep-1-2] two\n", "[sweep-0-3] well\n"}

    live.write_log("sweep", 4, "stdout last")
    ended = [of_index(1, "Ended", 2, exit_code=0), of_index(2, "Ended", 4, exit_code=0)]
    live.set_status(JOB, "sweep", runs=ended, phase="Succeeded", ready=0, conditions=[condition_of("Complete")])

    said = following.ended()
    assert (said.code, said.out) == (0, "[sweep-2-4] last\n")


def test_run_copies_the_output_of_all_runs_and_says_why_the_job_failed(live, started):
    process = started("job", "run", "--name=etl", "--completions=2", "--parallelism=2", "--indexed", "sh", "-c", "true")
    next(iter(Watch(live.client, JOB, "default", Selection())))
    live.write_log("etl", 1, "stdout zero")
    live.write_log("etl", 2, "stdout first", "stderr problem")
    runs = [
        of_index(0, "Ended", 1, exit_code=143, reason="JobEnded"),
        of_index(1, "Ended", 2, exit_code=7, reason="Error"),
    ]
    failed = condition_of("Failed", "BackoffLimitExceeded", "1 run failed, backoffLimit is 0")
    live.set_status(JOB, "etl", phase="Failed", ready=0, runs=runs, conditions=[failed])

    said = process.ended()

    assert sorted(said.out.splitlines()) == ["[etl-0-1] zero", "[etl-1-2] first"]
    assert "[etl-1-2] problem" in said.err
    assert "BackoffLimitExceeded: 1 run failed" in said.err
    assert said.code == 7


def test_output_of_runs_that_are_gone_before_they_were_copied_is_told_and_no_part_passes_for_the_whole(live, started):
    process = started("job", "run", "--name=etl", "--completions=3", "--parallelism=2", "--indexed", "sh", "-c", "true")
    next(iter(Watch(live.client, JOB, "default", Selection())))
    live.write_log("etl", 3, "stdout last")
    runs = [of_index(2, "Ended", 3, exit_code=0)]
    done = [condition_of("Complete", "Completed")]
    live.set_status(JOB, "etl", phase="Succeeded", attempts=3, ready=0, runs=runs, conditions=done)

    said = process.ended()

    assert (said.code, said.out) == (1, "[etl-2-3] last\n")
    assert "cannot give all of the output of job etl: the output of 2 runs is not here: 1, 2: " in said.err


def test_lines_of_two_logs_are_never_mixed_and_the_last_is_ended():
    written = []
    lines = Lines(written.append)
    one, two = lines.of("a-1"), lines.of("b-2")

    one.take(0, b"be")
    two.take(0, b"whole\nand ")
    one.take(2, b"gun\n")
    two.end()

    assert written == [b"[b-2] whole\n", b"[a-1] begun\n", b"[b-2] and \n"]
