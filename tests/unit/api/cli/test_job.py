"""`rnx job list|status|log|stop|delete` on the real API."""

import json

import pytest

from api.cli.follow import STOP_ANNOTATION
from api.errors import NotFound
from api.kinds import JOB
from support.api_server import condition_of, run_status
from support.objects import a_job


@pytest.fixture
def jobs(live):
    live.create(JOB, a_job("run-abc12", command=["sh", "-c", "echo hi"]))
    live.create(JOB, a_job("run-abd34"))
    live.set_status(
        JOB, "run-abc12", phase="Failed", reason="OOMKilled", conditions=[condition_of("Failed", "OOMKilled")],
        runs=[run_status("Ended", exit_code=137, reason="OOMKilled")],
    )  # fmt: skip
    live.write_log("run-abc12", 1, "stdout hi")


def test_a_list_has_what_one_wants_to_know(rnx, jobs):
    lines = rnx("job", "list").lines

    assert lines[0].split() == ["NAME", "STATUS", "REASON", "EXIT", "RUNTIME", "AGE", "COMMAND"]
    row = next(line for line in lines if line.startswith("run-abc12"))
    assert row.split()[:4] == ["run-abc12", "Failed", "OOMKilled", "137"]
    assert row.endswith("sh -c 'echo hi'")


def test_a_list_as_json_is_what_the_api_said(rnx, live, jobs):
    assert json.loads(rnx("job", "list", "--json").out) == live.client.list(JOB, "default")


def test_no_jobs_are_told(rnx):
    assert rnx("job", "list").err == "No jobs found in default namespace\n"


def test_any_beginning_that_one_job_has_will_do(rnx, live, jobs):
    assert json.loads(rnx("job", "status", "run-abc", "--json").out) == live.get(JOB, "run-abc12")
    assert rnx("job", "log", "run-abc").out == "hi\n"


def test_a_beginning_that_several_have_is_refused_with_their_names(rnx, jobs):
    said = rnx("job", "stop", "run-ab")

    assert said.code == 1
    assert '"run-ab" may mean 2 jobs (run-abc12, run-abd34): write more of the name' in said.err


def test_a_name_wins_over_longer_ones_that_begin_so(rnx, live, jobs):
    live.create(JOB, a_job("run"))

    assert json.loads(rnx("job", "status", "run", "--json").out)["metadata"]["name"] == "run"


def test_a_job_that_is_not_there_is_told(rnx, jobs):
    said = rnx("job", "status", "nope")

    assert said.code == 1
    assert 'there is no job "nope" in namespace default' in said.err


def test_a_stop_asks_and_waits_for_the_end(live, jobs, started):
    live.set_status(JOB, "run-abd34", phase="Running", runs=[run_status("Running")])
    stopping = started("job", "stop", "run-abd")

    def asked(job):
        return bool(job) and STOP_ANNOTATION in job["metadata"].get("annotations", {})

    from api.client_watch import wait_for

    wait_for(live.client, JOB, "default", "run-abd34", until=asked, timeout_seconds=20)
    live.set_status(JOB, "run-abd34", phase="Failed", conditions=[condition_of("Failed", "Stopped")])

    assert stopping.ended().out == "job run-abd34 stopped\n"


def test_a_job_that_has_ended_is_not_stopped_again(rnx, live, jobs):
    said = rnx("job", "stop", "run-abc")

    assert (said.code, said.err) == (0, "job run-abc12 has ended already (OOMKilled)\n")
    assert STOP_ANNOTATION not in live.get(JOB, "run-abc12")["metadata"].get("annotations", {})


def test_a_job_is_deleted_by_a_beginning_of_its_name(rnx, live, jobs):
    assert rnx("job", "delete", "run-abc").out == 'job.runwright.dev "run-abc12" deleted\n'
    with pytest.raises(NotFound):
        live.get(JOB, "run-abc12")


def test_the_newest_job_is_first_though_many_began_in_one_second(rnx, live):
    names = ["m", "z", "a", "q"]
    for name in names:
        live.create(JOB, a_job(name))

    listed = [line.split()[0] for line in rnx("job", "list").lines[1:]]

    assert listed == names[::-1]
    assert [line.split()[0] for line in rnx("job", "list").lines[1:]] == listed
