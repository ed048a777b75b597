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


def test_all_jobs_that_have_ended_are_deleted_and_the_others_left_and_counted(rnx, live, jobs):
    before = {job["metadata"]["name"] for job in live.client.list(JOB)["items"]}
    ended = {
        job["metadata"]["name"] for job in live.client.list(JOB)["items"] if job.get("status", {}).get("conditions")
    }

    said = rnx("job", "delete-all", "--json")

    assert 0 < len(ended) < len(before)
    assert json.loads(said.out) == {"deleted": len(ended), "skipped": len(before) - len(ended)}
    assert {job["metadata"]["name"] for job in live.client.list(JOB)["items"]} == before - ended


def test_what_each_run_of_a_job_used_is_shown(rnx, live, jobs):
    used = {"cpuSeconds": 1.5, "memoryPeakBytes": 3 << 20, "readBytes": 10, "writtenBytes": 2048}
    live.set_status(JOB, "run-abc12", runs=[run_status("Ended", exit_code=0) | {"usage": used}])

    assert rnx("job", "metrics", "run-abc12").lines[1].split() == [
        "1", "Ended", "1.50", "3.0", "MiB", "0.00", "10", "B", "2.0", "KiB"
    ]  # fmt: skip
    assert json.loads(rnx("job", "metrics", "run-abc12", "--json").out) == [
        {"attempt": 1, "state": "Ended", "usage": used}
    ]


def test_nodes_is_the_documents_word_for_hosts(rnx):
    assert rnx("nodes", "--json").code == rnx("get", "nodes", "-o", "json").code


def scheduled(live, name, **status):
    live.create(JOB, a_job(name, startAt="2999-01-01T00:00:00Z"))
    live.set_status(JOB, name, phase="Pending", reason="Scheduled", message="it starts at 2999", **status)


def test_the_list_says_when_a_scheduled_job_starts(rnx, live):
    scheduled(live, "later")

    assert rnx("job", "list").lines[1].split()[:4] == ["later", "Pending", "Scheduled", "2999-01-01T00:00:00Z"]


def test_a_job_that_waits_is_cancelled_and_stays_on_record(live, started):
    scheduled(live, "later")
    cancelling = started("job", "cancel", "later")

    from api.client_watch import wait_for

    asked = wait_for(
        live.client, JOB, "default", "later", timeout_seconds=20,
        until=lambda job: bool(job) and STOP_ANNOTATION in job["metadata"].get("annotations", {}),
    )  # fmt: skip
    live.set_status(JOB, "later", phase="Failed", conditions=[condition_of("Failed", "Canceled")])

    assert asked["spec"]["startAt"] == "2999-01-01T00:00:00Z"
    assert cancelling.ended().out == "job later cancelled\n"


def test_a_job_that_runs_is_not_canceled(rnx, live):
    scheduled(live, "now", runs=[run_status("Running")])
    said = rnx("job", "cancel", "now")

    assert (said.code, "cannot cancel job now: it has started: rnx job stop now stops it" in said.err) == (1, True)


def test_a_job_that_has_ended_is_not_canceled(rnx, live, jobs):
    assert "cannot cancel job run-abc12: it has ended" in rnx("job", "cancel", "run-abc12").err


def test_a_scheduled_job_is_told_of_and_not_waited_for(rnx, live):
    said = rnx("job", "run", "--name=later", "--schedule=2h30m", "echo", "a b")

    spec = live.get(JOB, "later")["spec"]
    assert said.lines[:4] == ["Job is scheduled:", "ID: later", "Command: echo 'a b'", "Schedule Input: 2h30m"]
    assert said.lines[4].startswith(f"Scheduled Time: {spec['startAt']} (in 2h")


def test_a_scheduled_job_can_be_had_as_json_or_by_its_name_alone(rnx, live):
    shown = json.loads(rnx("job", "run", "--schedule=1d", "--json", "true").out)

    assert shown["spec"]["startAt"]
    assert rnx("job", "run", "--schedule=1d", "--detach", "--name=x", "true").out == "x\n"


def test_nobody_waits_for_a_scheduled_job(rnx, live):
    said = rnx("job", "run", "--schedule=1d", "--wait-timeout=5s", "true")

    assert (said.code, "leave it out, or --schedule" in said.err) == (2, True)
