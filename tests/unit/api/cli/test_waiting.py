"""What is told of a job that waits, when, and when the wait is over; the time is given by hand."""

import pytest

from api.cli.waiting import QUIET_SECONDS, Wait, runtime_of, what_to_do
from support.api_server import condition_of, run_status

START = 1000.0
LATER = START + QUIET_SECONDS


def a_job(reason="RuntimeNotReady", message="asking for it", *, runtime="ruby-3.2", **status):
    status = {"phase": "Pending", "reason": reason, "message": message} | status
    return {"metadata": {"name": "etl"}, "spec": {"runtime": runtime}, "status": status}


def a_runtime(reason):
    return {"metadata": {"name": "ruby-3.2"}, "status": {"conditions": [condition_of("Ready", reason, status="False")]}}


def test_nothing_is_told_of_a_wait_that_is_short():
    assert Wait(START).is_news(a_job(), LATER - 0.1, all_of_it=False) == ""


def test_a_wait_that_lasts_is_told_once_for_each_reason():
    wait = Wait(START)

    told = [wait.is_news(a_job(message=said), LATER, all_of_it=False) for said in ("one", "one", "two", "one")]

    assert told == [f"Pending (RuntimeNotReady): {said}" if said else "" for said in ("one", "", "two", "one")]


def test_a_person_at_a_terminal_is_told_all_and_at_once():
    assert Wait(START).is_news(a_job("Pending", "run 1 is about to start"), START, all_of_it=True) != ""


@pytest.mark.parametrize("reason", ["", "Pending", "Running"])
def test_what_is_soon_over_is_told_nobody_else(reason):
    assert Wait(START).is_news(a_job(reason), LATER, all_of_it=False) == ""


def test_nothing_is_told_of_a_job_that_has_ended():
    ended = a_job(phase="Failed", conditions=[condition_of("Failed", "Stopped")])

    assert Wait(START).is_news(ended, LATER, all_of_it=True) == ""


def test_the_same_reason_is_told_again_after_a_run_in_between():
    wait = Wait(START)
    first = wait.is_news(a_job("BackOff"), LATER, all_of_it=False)
    wait.is_news(a_job("Running", phase="Running"), LATER, all_of_it=False)

    assert wait.is_news(a_job("BackOff"), LATER, all_of_it=False) == first != ""


def test_the_next_look_is_when_something_is_to_be_told_or_to_end():
    wait = Wait(START, limit_seconds=10)

    looks = [wait.seconds_to(a_job(), START + after) for after in (0, 1, QUIET_SECONDS, 9, 12)]

    assert looks == [QUIET_SECONDS, QUIET_SECONDS - 1, 10 - QUIET_SECONDS, 1, 0]
    assert wait.seconds_to(None, START) is None


def test_without_a_limit_a_job_is_waited_for_for_ever():
    wait = Wait(START)

    assert (wait.is_over(a_job(), START + 1e9), wait.seconds_to(a_job(), LATER)) == (False, None)


def test_the_limit_is_of_the_time_to_the_first_run():
    wait = Wait(START, limit_seconds=10)
    begun = a_job(runs=[run_status("Running")])

    assert [wait.is_over(job, START + 10) for job in (a_job(), begun)] == [True, False]
    assert wait.seconds_to(begun, LATER) is None


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("BuildFailed", "rnx runtime logs ruby-3.2 shows what the build said"),
        ("Unhealthy", "rnx runtime test ruby-3.2 shows what does not work"),
        ("RegistryUnavailable", "rnx get registries shows which of them answer"),
        ("Ambiguous", "rnx runtime install ruby-3.2 --registry=NAME says which one is meant"),
        ("InsufficientSpace", "rnx describe runtime/ruby-3.2 says more"),
    ],
)
def test_what_to_do_is_said_by_the_reason_of_the_runtime(reason, hint):
    assert what_to_do(a_job(), a_runtime(reason)) == hint


@pytest.mark.parametrize("reason", ["LimitUnenforceable", "Unschedulable", "DevicesInsufficient", "PolicyForbids"])
def test_a_wait_for_what_cannot_come_on_this_host_is_in_vain(reason):
    assert Wait(START).is_in_vain(a_job(reason), LATER)
    assert not Wait(START).is_in_vain(a_job(reason), LATER - 0.1)
    assert not Wait(START, limit_seconds=600).is_in_vain(a_job(reason), LATER)
    assert not Wait(START).is_in_vain(a_job(reason, runs=[run_status("Ended", exit_code=1)]), LATER)


@pytest.mark.parametrize("reason", ["HostBusy", "Queued", "RuntimeNotReady", "WaitingForJobs", "BackOff", "Scheduled"])
def test_a_wait_for_what_passes_is_not_in_vain(reason):
    assert not Wait(START).is_in_vain(a_job(reason), LATER)


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("RuntimeNotFound", "rnx runtime list --registry shows what there is"),
        ("RequirementsNotMet", "give it more with --max-memory"),
        ("LimitUnenforceable", "rnx explain job/etl says more"),
        ("BackOff", ""),
    ],
)
def test_what_to_do_is_said_by_the_reason_of_the_job(reason, hint):
    assert what_to_do(a_job(reason), None) == hint


@pytest.mark.parametrize(
    ("job", "name"),
    [
        (a_job(), "ruby-3.2"),
        (a_job(runtime="ruby-3.2@1.0.0"), "ruby-3.2"),
        (a_job(runtime="ruby:3.2"), ""),
        (a_job("HostBusy"), ""),
        (a_job(runtime=None), ""),
    ],
)
def test_the_runtime_that_is_waited_for_is_the_one_that_was_named(job, name):
    assert runtime_of(job) == name
