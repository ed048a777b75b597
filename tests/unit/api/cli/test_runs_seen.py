"""Which runs are copied next, and that no part of the output of many runs passes for the whole."""

from api.cli.runs_seen import RunsSeen, is_gone
from api.kinds import JOB
from support.api_server import run_status
from support.objects import a_job


def seen(*jobs, from_now=False):
    runs = RunsSeen(from_now=from_now)
    for attempts, states in jobs:
        of_them = [run_status(state, attempt) for attempt, state in states.items()]
        runs.learn({"metadata": {"name": "j"}, "status": {"attempts": attempts, "runs": of_them}})
    return runs


def taken(runs):
    found = []
    while runs.are_waiting:
        found.append(runs.take())
    return found


def test_runs_are_taken_once_in_the_order_in_which_they_began_also_when_they_are_off_the_record_by_then():
    runs = seen((2, {1: "Running", 2: "Pending"}), (3, {1: "Ended", 2: "Running", 3: "Running"}), (3, {3: "Ended"}))

    assert taken(runs) == [(1, "j-1"), (2, "j-2"), (3, "j-3")]
    assert runs.missing() == ""


def test_whose_output_is_gone_is_told_by_name():
    runs = seen((1, {1: "Running"}), (9, {9: "Running"}))
    runs.lose(1)

    assert runs.missing().startswith("the output of 8 runs is not here: 1, 2, 3, 4, 5 and others: they went off")


def test_who_comes_later_misses_nothing_of_before():
    runs = seen((60, {60: "Ended"}), (62, {62: "Running"}), from_now=True)

    assert taken(runs) == [(60, "j-60"), (62, "j-62")]
    assert "the output of 1 run is not here: 61:" in runs.missing()


def test_a_run_is_gone_when_its_job_has_it_on_record_no_more(live):
    live.create(JOB, a_job("etl"))
    live.set_status(JOB, "etl", runs=[run_status("Ended", 2)])

    assert not is_gone(live.client, "default", "etl", 2)
    assert is_gone(live.client, "default", "etl", 1)
    assert not is_gone(live.client, "default", "none", 1)
