"""What a Job's status means for the command line."""

import pytest

from api.cli import finished


def a_job(*conditions: tuple[str, str], runs: tuple[dict, ...] = (), **status: object) -> dict:
    listed = [
        {"type": type_, "status": "True", "reason": reason, "message": f"it is {reason}"}
        for type_, reason in conditions
    ]
    return {
        "metadata": {"name": "etl", "generation": 1},
        "spec": {},
        "status": {"conditions": listed, "runs": list(runs), **status},
    }


def a_run(exit_code: int | None, reason: str = "Error", message: str = "") -> dict:
    return {"attempt": 1, "state": "Ended", "exitCode": exit_code, "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("job", "code"),
    [
        (a_job(("Complete", "Completed"), runs=(a_run(0, "Completed"),)), 0),
        (a_job(("Failed", "BackoffLimitExceeded"), runs=(a_run(7),)), 7),
        (a_job(("Failed", "BackoffLimitExceeded"), runs=(a_run(137, "OOMKilled"),)), 137),
        (a_job(("Failed", "DeadlineExceeded"), runs=(a_run(143, "DeadlineExceeded"),)), 124),
        (a_job(("Failed", "LimitUnenforceable")), 125),
        (a_job(("Failed", "SandboxFailed"), runs=(a_run(None, "SandboxFailed"),)), 125),
        (a_job(("Failed", "Stopped"), runs=(a_run(0, "Stopped"),)), 1),
    ],
)
def test_the_exit_code_is_the_jobs_own_or_says_why_there_is_none(job, code):
    assert finished.exit_code(job) == code


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (a_job(("Complete", "Completed"), runs=(a_run(0, "Completed"),)), ""),
        (a_job(("Failed", "BackoffLimitExceeded"), runs=(a_run(7),)), ""),
        (
            a_job(("Failed", "BackoffLimitExceeded"), runs=(a_run(137, "OOMKilled", "over 64Mi"),)),
            "OOMKilled: over 64Mi",
        ),
        (a_job(("Failed", "LimitUnenforceable")), "LimitUnenforceable: it is LimitUnenforceable"),
    ],
)
def test_a_failure_is_told_when_the_exit_code_does_not_say_it(job, told):
    assert finished.why_failed(job) == told


def test_a_condition_of_an_older_spec_does_not_end_a_job():
    job = a_job(("Complete", "Completed"))
    job["metadata"]["generation"] = 2
    job["status"]["conditions"][0]["observedGeneration"] = 1

    assert not finished.is_finished(job)


def test_a_waiting_job_says_why():
    job = a_job(phase="Pending", reason="RuntimeNotReady", message="installing python-3.11@1.0.0")

    assert finished.waiting_for(job) == "Pending (RuntimeNotReady): installing python-3.11@1.0.0"


def test_a_running_job_waits_for_nothing():
    assert finished.waiting_for(a_job(phase="Running")) == ""


@pytest.mark.parametrize(
    ("job", "was_stopped"),
    [
        (a_job(("Failed", "Stopped")), True),
        (a_job(("Failed", "Stopped"), runs=(a_run(0, "Stopped"),)), True),
        (a_job(("Complete", "Completed"), runs=(a_run(0, "Completed"),)), False),
        (a_job(("Failed", "BackoffLimitExceeded"), runs=(a_run(7),)), False),
    ],
)
def test_a_job_was_stopped_only_if_that_is_how_it_ended(job, was_stopped):
    assert finished.was_stopped(job) is was_stopped
