"""How a run is said to have ended."""

import signal

import pytest

from controller.launcher.outcome import Ending, NeverRan, decide
from controller.launcher.records import Reason


def exited(code):
    return code << 8


def test_zero_is_completed():
    outcome = decide(exited(0), None, 0, None)

    assert (outcome.reason, outcome.exit_code, outcome.signal) == (Reason.COMPLETED, 0, None)


def test_another_code_is_an_error_and_says_it():
    outcome = decide(exited(3), None, 0, None)

    assert (outcome.reason, outcome.exit_code, outcome.message) == (Reason.ERROR, 3, "exited with 3")


def test_a_death_by_signal_is_an_error_with_the_shells_code():
    outcome = decide(signal.SIGSEGV, None, 0, None)

    assert (outcome.reason, outcome.exit_code, outcome.signal) == (Reason.ERROR, 139, 11)
    assert outcome.message == "killed by SIGSEGV"


def test_what_the_supervisor_did_comes_before_how_the_process_took_it():
    outcome = decide(exited(0), Ending("Superseded", "stopped as asked for"), 0, None)

    assert (outcome.reason, outcome.exit_code) == ("Superseded", 0)


@pytest.mark.parametrize("ending", [None, Ending(Reason.OOM_KILLED, "")])
def test_a_kill_for_memory_is_told_by_the_kernels_count(ending):
    outcome = decide(signal.SIGKILL, ending, 2, None)

    assert (outcome.reason, outcome.exit_code) == (Reason.OOM_KILLED, 137)
    assert "the kernel killed 2 of its processes" in outcome.message


def test_a_run_within_its_limit_that_was_killed_for_memory_is_told_that_it_was_for_all():
    outcome = decide(signal.SIGKILL, None, 1, None, within_its_limit=True)

    assert (outcome.reason, outcome.exit_code) == (Reason.OOM_KILLED, 137)
    assert outcome.message.startswith("the run was within its limit, but all that runs here together needed more")
    assert "the kernel killed 1 of its processes" in outcome.message


def test_a_run_that_ended_well_although_a_part_was_killed_for_memory_has_ended_well():
    assert decide(exited(0), Ending(Reason.OOM_KILLED, ""), 1, None).reason == Reason.COMPLETED


def test_a_deadline_is_not_taken_for_memory_that_went_while_the_run_died():
    outcome = decide(signal.SIGKILL, Ending(Reason.DEADLINE_EXCEEDED, "late"), 1, None)

    assert outcome.reason == Reason.DEADLINE_EXCEEDED


def test_what_never_ran_says_why_and_not_how_its_process_ended():
    outcome = decide(exited(126), None, 0, NeverRan(Reason.CONTAINER_CANNOT_RUN, "no such file", 127))

    assert (outcome.reason, outcome.exit_code, outcome.message) == (Reason.CONTAINER_CANNOT_RUN, 127, "no such file")
