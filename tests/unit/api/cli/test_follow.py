"""`rnx job run` stays with its job: output, exit code, interrupts. The tests play the controller."""

import json
import signal
import time

import pytest

from api.cli.follow import STOP_ANNOTATION, _Follower
from api.cli.progress import InstallProgress
from api.cli.waiting import Wait
from api.client import Selection
from api.client_watch import Watch
from api.kinds import JOB, RUNTIME, VOLUME
from api.meta import API_VERSION
from controller.job.logs import log_directory
from support.api_server import condition_of, run_status
from support.objects import a_job, a_runtime


def only_job(live) -> str:
    """Return the name of the one job there is, as soon as there is one."""
    for event in Watch(live.client, JOB, "default", Selection()):
        return str(event.document["metadata"]["name"])
    raise AssertionError("a watch does not end")


def end(live, name: str, code: int, reason: str = "", message: str = "") -> None:
    condition = condition_of("Failed", reason, message) if code else condition_of("Complete")
    run = run_status("Ended", exit_code=code, reason=reason or "Error") | {"message": message}
    phase, word = ("Failed", reason or "Error") if code else ("Succeeded", "Completed")
    live.set_status(JOB, name, phase=phase, reason=word, runs=[run], conditions=[condition])


@pytest.fixture
def running(live, started):
    """A job that runs and was started by `rnx job run`."""
    process = started("job", "run", "--name=etl", "sh", "-c", "true")
    assert only_job(live) == "etl"
    live.write_log("etl", 1, "stdout hello")
    live.set_status(JOB, "etl", phase="Running", runs=[run_status("Running")])
    return process


def test_the_jobs_output_is_ours_each_stream_by_itself(live, running):
    assert running.line() == "hello\n"
    live.write_log("etl", 1, "stderr oh", "stdout bye")
    end(live, "etl", 0)

    said = running.ended()

    assert (said.code, said.out, said.err) == (0, "bye\n", "oh\n")


@pytest.mark.parametrize(
    ("code", "reason", "message", "ours", "told"),
    [
        (7, "", "", 7, ""),
        (137, "OOMKilled", "it used all of its 64Mi", 137, "job etl: OOMKilled: it used all of its 64Mi\n"),
        (143, "DeadlineExceeded", "after 60 s", 124, "job etl: DeadlineExceeded: after 60 s\n"),
    ],
)
def test_the_jobs_exit_code_is_ours(live, running, code, reason, message, ours, told):
    end(live, "etl", code, reason, message)

    said = running.ended()

    assert (said.code, said.err) == (ours, told)


def test_a_job_that_never_ran_is_125_with_why(live, started):
    process = started("job", "run", "true")
    live.set_status(
        JOB, only_job(live), conditions=[condition_of("Failed", "LimitUnenforceable", "no memory controller")]
    )

    said = process.ended()

    assert said.code == 125
    assert "LimitUnenforceable: no memory controller" in said.err


def test_what_a_job_waits_for_is_told_once_with_what_to_do_about_it(live, started):
    process = started("job", "run", "--name=etl", "--runtime=ruby-3.2", "ruby", "-v")
    assert only_job(live) == "etl"
    waiting = {"phase": "Pending", "reason": "RuntimeNotReady", "message": "nobody answers"}
    live.set_status(JOB, "etl", **waiting, attempts=0)
    hint = "rnx runtime list --registry shows what there is"
    assert process.error_line() == f"job etl: Pending (RuntimeNotReady): nobody answers: {hint}\n"
    live.set_status(JOB, "etl", **waiting, attempts=1)
    end(live, "etl", 1)

    said = process.ended()

    assert (said.out, said.err) == ("", "")


def test_a_runtime_that_nobody_offers_is_not_waited_for_and_said_with_what_there_is(live, started):
    process = started("job", "run", "--name=etl", "--runtime=rubi-3.2", "ruby", "-v")
    assert only_job(live) == "etl"
    message = 'cannot install rubi-3.2: registry/main: runtime "rubi-3.2" not found in registry (available: ruby-3.2)'
    live.set_status(JOB, "etl", phase="Pending", reason="RuntimeNotFound", message=message)
    line = process.error_line()

    live.set_status(JOB, "etl", phase="Failed", conditions=[condition_of("Failed", "Stopped")])
    said = process.ended()

    assert line == "stopping job etl, as it does not run; interrupt to leave it to itself\n"
    assert said.code == 125
    assert f"cannot run job etl: Pending (RuntimeNotFound): {message}: rnx runtime list --registry" in said.err


def test_each_reason_of_a_runtime_that_does_not_come_is_told_as_it_changes(live, started):
    live.create(RUNTIME, a_runtime("sick"))
    live.set_status(RUNTIME, "sick", conditions=[condition_of("Ready", "BuildFailed", "exit 3", "False")])
    process = started("job", "run", "--name=etl", "--runtime=sick", "true")
    assert only_job(live) == "etl"
    live.set_status(JOB, "etl", phase="Pending", reason="RuntimeNotReady", message="BuildFailed: exit 3")
    assert process.error_line() == (
        "job etl: Pending (RuntimeNotReady): BuildFailed: exit 3: rnx runtime logs sick shows what the build said\n"
    )
    live.set_status(RUNTIME, "sick", conditions=[condition_of("Ready", "Unhealthy", "no python", "False")])
    live.set_status(JOB, "etl", message="Unhealthy: no python")
    assert process.error_line() == (
        "job etl: Pending (RuntimeNotReady): Unhealthy: no python: rnx runtime test sick shows what does not work\n"
    )
    end(live, "etl", 0)

    assert process.ended().code == 0


STOPPING = "stopping job etl, as it does not run; interrupt to leave it to itself\n"
NOT_IN_TIME = "error: timed out waiting for job etl to run: its status is not known yet: it was stopped\n"


@pytest.fixture
def given_up(live, started):
    """A job of which nothing is known that was not waited for, and is to stop."""
    process = started("job", "run", "--name=etl", "--wait-timeout=10ms", "--runtime=ruby-3.2", "ruby", "-v")
    assert only_job(live) == "etl"
    for event in Watch(live.client, JOB, "default"):
        if STOP_ANNOTATION in event.document["metadata"].get("annotations", {}):
            return process
    raise AssertionError("a watch does not end")


def test_a_job_that_does_not_run_in_time_is_stopped_and_exits_as_a_wait_does(live, given_up):
    live.set_status(JOB, "etl", phase="Failed", reason="Stopped", conditions=[condition_of("Failed", "Stopped")])

    said = given_up.ended()

    assert (said.code, said.out, said.err) == (4, "", STOPPING + NOT_IN_TIME)


@pytest.mark.parametrize(("code", "reason", "told"), [(0, "", ""), (3, "", ""), (9, "Lost", "job etl: Lost: gone\n")])
def test_a_job_that_ends_by_itself_as_it_is_to_be_stopped_was_not_stopped(live, given_up, code, reason, told):
    live.write_log("etl", 1, "stdout hello")
    end(live, "etl", code, reason, "gone" if reason else "")

    said = given_up.ended()

    assert (said.code, said.out, said.err) == (code, "hello\n", STOPPING + told)


def test_an_interrupt_leaves_a_job_that_is_to_stop_to_itself(given_up):
    assert given_up.error_line() == STOPPING

    said = given_up.interrupted()

    assert (said.code, said.err) == (4, NOT_IN_TIME)


def test_a_job_that_runs_in_time_is_not_hurried_by_the_limit_of_its_wait(live, started):
    process = started("job", "run", "--name=etl", "--wait-timeout=1h", "true")
    assert only_job(live) == "etl"
    live.write_log("etl", 1, "stdout hello")
    live.set_status(JOB, "etl", phase="Running", runs=[run_status("Running")])
    assert process.line() == "hello\n"
    end(live, "etl", 3)

    assert process.ended().code == 3


def test_a_job_that_nobody_waits_for_has_no_limit_of_waiting(rnx):
    said = rnx("job", "run", "-d", "--wait-timeout=5s", "true")

    assert said.code == 2
    assert "--wait-timeout is for a job that is waited for: leave it out, or --detach" in said.err


@pytest.mark.invariant("J22")
def test_output_of_which_some_is_gone_is_an_error_and_no_shorter_output(live, started):
    process = started("job", "run", "--name=etl", "sh", "-c", "true")
    assert only_job(live) == "etl"
    live.write_log("etl", 1, "stdout what is left")
    newest = log_directory(live.logs, live.get(JOB, "etl")["metadata"]) / "1" / "0.log"
    newest.rename(newest.with_name("0.log.000002"))  # The first was removed.
    newest.touch()
    live.set_status(JOB, "etl", phase="Running", runs=[run_status("Running")])

    said = process.ended()

    assert (said.code, said.out, "cannot read all of the log" in said.err) == (1, "", True)


def test_a_job_whose_output_goes_to_a_pipe_keeps_more_of_it(live, started):
    started("job", "run", "--name=etl", "sh", "-c", "true")
    assert only_job(live) == "etl"

    assert live.get(JOB, "etl")["metadata"]["annotations"] == {"runwright.dev/output": "whole"}


def test_a_retry_goes_on_in_the_same_output(live, running):
    live.write_log("etl", 2, "stdout again")
    first, second = run_status("Ended", 1, exit_code=1, reason="Error"), run_status("Ended", 2, exit_code=0)
    live.set_status(JOB, "etl", runs=[first, second], phase="Succeeded", conditions=[condition_of("Complete")])

    said = running.ended()

    assert (said.code, said.out) == (0, "hello\nagain\n")


def test_the_output_goes_on_after_the_server_was_away_and_nothing_comes_twice(live, running):
    assert running.line() == "hello\n"
    live.stop()
    live.write_log("etl", 1, "stdout meanwhile")
    live.start()
    assert running.line() == "meanwhile\n"
    end(live, "etl", 0)

    said = running.ended()

    assert (said.code, said.out) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_the_job_and_shows_its_last_words(live, running, number):
    assert running.line() == "hello\n"
    running.interrupt(number)
    for event in Watch(live.client, JOB, "default"):
        if STOP_ANNOTATION in event.document["metadata"].get("annotations", {}):
            break
    live.write_log("etl", 1, "stdout stopping")
    end(live, "etl", 143, "Stopped")

    said = running.ended()

    assert (said.code, said.out) == (130, "stopping\n")
    assert said.err == "stopping job etl; interrupt again to leave it to itself\n"


def test_a_second_interrupt_leaves_the_job_to_itself(live, running):
    assert running.line() == "hello\n"
    running.interrupt()
    for event in Watch(live.client, JOB, "default"):
        if STOP_ANNOTATION in event.document["metadata"].get("annotations", {}):
            break

    assert running.interrupted().code == 130
    assert live.get(JOB, "etl")["status"]["phase"] == "Running"


def test_a_reader_that_goes_away_stops_the_job(live, running):
    assert running.line() == "hello\n"
    running.stop_reading()
    live.write_log("etl", 1, "stdout more")

    assert running.ended().code == 141
    assert STOP_ANNOTATION in live.get(JOB, "etl")["metadata"]["annotations"]


def test_a_deleted_job_is_an_error(live, running):
    assert running.line() == "hello\n"
    live.client.delete(JOB, "default", "etl")
    live.let_go(JOB, "etl")

    said = running.ended()

    assert said.code == 1
    assert "job etl was deleted" in said.err


def test_a_detached_job_gives_its_name_and_nothing_else(rnx, live):
    said = rnx("job", "run", "-d", "--max-cpu=150%", "true")

    assert said.code == 0
    assert said.out.startswith("run-")
    job = live.get(JOB, said.out.strip())
    assert job["spec"]["resources"]["limits"] == {"cpu": "1500m"}
    assert job["spec"]["backoffLimit"] == 0


def test_json_is_the_job(rnx, live):
    assert json.loads(rnx("run", "-d", "--json", "--name=x", "true").out) == live.get(JOB, "x")


def test_a_spec_that_is_refused_tells_every_cause(rnx):
    said = rnx("run", "--max-cpu=9999999999999999999", "--max-memory=9999999999Gi", "true")

    assert said.code == 2
    assert '--max-memory: Invalid value: "9999999999Gi": is larger than any host' in said.err
    assert '--max-cpu: Invalid value: "9999999999999999999": is larger than any host' in said.err
    assert "spec." not in said.err


def test_a_name_that_is_taken_is_told(rnx, live):
    live.create(JOB, a_job("etl"))

    said = rnx("job", "run", "--name=etl", "true")

    assert said.code == 125
    assert 'jobs.runwright.dev "etl" already exists' in said.err


def test_a_job_that_cannot_run_on_this_host_is_stopped_and_125(live, started):
    process = started("job", "run", "--name=etl", "--cpu-cores=99", "true")
    assert only_job(live) == "etl"
    live.set_status(JOB, "etl", phase="Pending", reason="LimitUnenforceable", message="this host has no CPU 99")
    line = process.error_line()

    live.set_status(JOB, "etl", phase="Failed", conditions=[condition_of("Failed", "Stopped")])
    said = process.ended()

    assert line == "stopping job etl, as it does not run; interrupt to leave it to itself\n"
    assert STOP_ANNOTATION in live.get(JOB, "etl")["metadata"]["annotations"]
    why = "cannot run job etl: Pending (LimitUnenforceable): this host has no CPU 99: rnx explain job/etl says more"
    assert (said.code, said.out, said.err) == (125, "", f"error: {why}\n")


def test_a_job_that_is_to_run_after_none_is_not_made(rnx, live):
    said = rnx("run", "--name=etl", "--after=nope", "true")

    assert (said.code, 'cannot run it after job "nope": there is no such job' in said.err) == (125, True)
    assert live.client.list(JOB, "default")["items"] == []
    assert rnx("run", "--detach", "--after=nope", "true").code == 0


def test_a_volume_that_is_made_because_it_is_not_there_is_told(rnx, live):
    live.create(VOLUME, {"apiVersion": API_VERSION, "kind": "Volume", "metadata": {"name": "typo"}, "spec": {}})

    said = rnx("run", "--detach", "--volume=typoo", "--volume=typo:/x", "true")

    made = "an empty one is made, unless the setting volumes.auto_create is false"
    assert said.err == f'Warning: there is no volume "typoo": {made}: did you mean typo?\n'


def test_whatever_ends_a_thread_of_it_is_raised_where_somebody_waits(live):
    """A thread that failed unheard would print its traceback among the job's output, or be waited for without end."""
    follower = _Follower(live.client, "default", "etl", InstallProgress(), Wait(time.monotonic(), None), quiet=True)

    def fail() -> None:
        raise RuntimeError("the client has been closed")

    follower._start(fail)

    with pytest.raises(RuntimeError, match="has been closed"):
        follower.run()
