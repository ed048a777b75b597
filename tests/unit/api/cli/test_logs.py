"""`rnx logs` on the real API, with logs as the supervisor writes them."""

import json

import pytest

from api.kinds import JOB
from api.meta import read_time
from support.api_server import condition_of, run_status
from support.objects import a_job


@pytest.fixture
def etl(live):
    live.create(JOB, a_job("etl"))
    live.set_status(
        JOB, "etl", phase="Running", runs=[run_status("Ended", exit_code=1, reason="Error"), run_status("Running", 2)]
    )
    live.write_log("etl", 1, "stdout first")
    live.write_log("etl", 2, "stdout one", "stderr two", "stdout three")


@pytest.mark.parametrize("word", ["etl", "job/etl", "etl-2", "pod/etl-2"])
def test_the_last_run_of_a_job_is_shown_or_the_one_named(rnx, etl, word):
    assert rnx("logs", word).lines == ["one", "two", "three"]


def test_an_earlier_run_is_shown_if_asked_for(rnx, etl):
    assert rnx("logs", "etl", "--attempt", "1").lines == ["first"]
    assert rnx("logs", "etl", "--previous").lines == ["first"]
    assert rnx("logs", "etl-1").lines == ["first"]


def test_a_part_of_it_is_shown_if_asked_for(rnx, etl):
    assert rnx("logs", "etl", "--tail", "1").lines == ["three"]
    for command in (("logs",), ("job", "log")):
        assert rnx(*command, "etl", "--tail=-1").lines == ["one", "two", "three"]
    assert rnx("logs", "etl", "--stderr").lines == ["two"]
    assert rnx("logs", "etl", "--stdout").lines == ["one", "three"]
    assert rnx("logs", "etl", "--since", "1h").lines == ["one", "two", "three"]
    assert rnx("logs", "etl", "--timestamps", "--tail=1").lines[0].endswith("Z three")


def test_as_json_each_line_is_a_document_with_its_pod_stream_and_time(rnx, etl, live):
    live.write_log("etl", 2, "stdout \N{LATIN SMALL LETTER E WITH ACUTE} \x1b[1m", "stdout ")
    for command in (("logs", "etl", "--json"), ("job", "log", "etl", "--json"), ("--json", "logs", "etl")):
        said = [json.loads(line) for line in rnx(*command).lines]
        assert [each["line"] for each in said] == ["one", "two", "three", "\xe9 \x1b[1m", ""]
        assert {each["pod"] for each in said} == {"etl-2"}
        assert [each["stream"] for each in said] == ["stdout", "stderr", *["stdout"] * 3]
        assert all(read_time(each["time"]).tzinfo for each in said)

    [two] = [json.loads(line) for line in rnx("logs", "etl", "--json", "--stderr").lines]
    assert (two["stream"], two["line"]) == ("stderr", "two")
    last = [json.loads(line) for line in rnx("logs", "etl", "--json", "--tail=3").lines]
    assert [each["line"] for each in last] == ["three", "\xe9 \x1b[1m", ""]


def test_as_json_a_line_that_came_in_parts_is_one_document_whatever_came_between(rnx, live, etl):
    live.write_log("etl", 2, "stdout/P a long ", "stderr between", "stdout/P way", "stderr/P and")
    live.write_log("etl", 2, "stdout  home", "stdout/P no end")

    said = [json.loads(line) for line in rnx("logs", "etl", "--json").lines[3:]]

    assert [(each["stream"], each["line"]) for each in said] == [
        ("stderr", "between"), ("stdout", "a long way home"), ("stderr", "and"), ("stdout", "no end"),
    ]  # fmt: skip
    assert said[0]["time"] > said[1]["time"]  # That is when it began.


def test_as_json_lines_that_are_followed_come_when_they_are_whole(live, etl, started):
    following = started("logs", "-f", "etl", "--json")
    assert [json.loads(following.line())["stream"] for _ in range(3)] == ["stdout", "stderr", "stdout"]

    live.write_log("etl", 2, "stdout/P hel", "stderr/P x", "stdout lo")

    assert json.loads(following.line())["line"] == "hello"
    live.set_status(
        JOB, "etl", runs=[run_status("Ended", 2, exit_code=0)], phase="Succeeded", conditions=[condition_of("Complete")]
    )
    said = following.ended()
    assert [json.loads(line)["line"] for line in said.out.splitlines()] == ["x"]


def test_following_goes_over_to_the_next_run_and_ends_with_the_job(live, etl, started):
    following = started("logs", "-f", "etl")
    assert [following.line() for _ in range(3)] == ["one\n", "two\n", "three\n"]

    live.write_log("etl", 2, "stdout more")
    assert following.line() == "more\n"
    live.write_log("etl", 3, "stdout again")
    runs = [run_status("Ended", 2, exit_code=1, reason="Error"), run_status("Ended", 3, exit_code=0)]
    live.set_status(JOB, "etl", runs=runs, phase="Succeeded", conditions=[condition_of("Complete")])

    said = following.ended()
    assert (said.code, said.out) == (0, "again\n")


def test_a_job_that_has_not_run_says_why(rnx, live):
    live.create(JOB, a_job("late"))
    live.set_status(JOB, "late", phase="Pending", reason="RuntimeNotReady", message="installing")

    said = rnx("logs", "late")

    assert said.code == 1
    assert "job late has not run yet: Pending (RuntimeNotReady): installing" in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["nope"], 1, 'jobs.runwright.dev "nope" not found'),
        (["etl-9"], 1, 'pods "etl-9" not found'),
        (["etl", "--attempt=7"], 1, "job etl has no run 7 on record: there are 1, 2"),
        (["runtime/x"], 2, "a runtime has no log"),
        (["etl", "--attempt=1", "-p"], 2, "cannot be given together"),
    ],
)
def test_what_has_no_log_is_told(rnx, etl, arguments, code, why):
    said = rnx("logs", *arguments)

    assert said.code == code
    assert why in said.err
