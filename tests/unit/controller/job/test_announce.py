"""What is told of a job, decided from what it was and what it is."""

import pytest

from controller.job.announce import news


def a_job(*runs):
    return {"metadata": {"name": "etl"}, "status": {"phase": "Running", "runs": list(runs)}}


PENDING = {"attempt": 1, "state": "Pending"}
RUNNING = {"attempt": 1, "state": "Running", "startedAt": "2026-01-01T00:00:00Z", "runtime": "python@3.11"}
ENDED = RUNNING | {"state": "Ended", "reason": "Error", "message": "exited with 3"}
NEVER_STARTED = {"attempt": 1, "state": "Ended", "reason": "SandboxFailed", "message": "no room"}


def told(before, after):
    return [(item.reason, item.message) for item in news(a_job(*before), a_job(*after))]


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        ([PENDING], [RUNNING], ["Started"]),
        ([RUNNING], [RUNNING], []),
        ([RUNNING], [ENDED], ["Error"]),
        ([PENDING], [ENDED], ["Started", "Error"]),
        ([], [ENDED], ["Started", "Error"]),
        ([ENDED], [ENDED], []),
        ([PENDING], [NEVER_STARTED], ["SandboxFailed"]),
        ([ENDED], [ENDED, PENDING | {"attempt": 2}], []),
        ([ENDED, PENDING | {"attempt": 2}], [ENDED, RUNNING | {"attempt": 2}], ["Started"]),
    ],
)
def test_each_start_and_each_end_is_told_once_however_quick_they_were(before, after, reasons):
    assert [reason for reason, _ in told(before, after)] == reasons


def test_a_start_is_told_with_its_runtime():
    assert told([], [ENDED])[0] == ("Started", "run 1 started in python@3.11")
