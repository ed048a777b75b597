import click
import pytest

from api.cli import finished, many_runs, run_targets
from api.kinds import JOB
from support.objects import a_job

INDEXED = {"completions": 5, "parallelism": 2, "completionMode": "Indexed"}


def test_the_flags_of_a_plain_job_say_nothing():
    assert many_runs.fields(None, None, indexed=False, takes_input=True) == {}


def test_the_flags_become_the_fields_of_batch():
    assert many_runs.fields(5, 2, indexed=True, takes_input=False) == INDEXED
    assert many_runs.fields(None, 3, indexed=False, takes_input=False) == {"parallelism": 3}


@pytest.mark.parametrize(
    ("completions", "parallelism", "indexed", "takes_input", "fix"),
    [(None, 2, True, False, "add --completions=N"), (3, None, False, True, "--stdin is for a job of one run")],
)
def test_flags_that_do_not_go_together_are_refused(completions, parallelism, indexed, takes_input, fix):
    with pytest.raises(click.UsageError, match=fix):
        many_runs.fields(completions, parallelism, indexed=indexed, takes_input=takes_input)


def test_a_description_says_which_index_is_where():
    runs = [{"attempt": 3, "index": 2, "state": "Running"}, {"attempt": 2, "index": 1, "state": "Ended"}]
    status = {"ready": 1, "active": 1, "succeeded": 2, "failed": 1, "completedIndexes": "0-1", "runs": runs}

    told = dict(many_runs.rows({"spec": INDEXED | {"backoffLimitPerIndex": 1}, "status": status}))

    assert told == {
        "Parallelism": "2",
        "Completions": "5 (Indexed)",
        "Runs Now": "1 active / 1 running / 2 succeeded / 1 failed",
        "Completed Indexes": "0-1",
        "Failed Indexes": "<none>",
        "Retries per Index": "1",
        "Active Indexes": "2",
        "Waiting Indexes": "3-4",
    }
    assert list(many_runs.rows({"spec": {}, "status": {}})) == []


def test_of_each_index_the_last_run_is_chosen_in_order_of_the_indexes():
    runs = [{"attempt": 1, "index": 2}, {"attempt": 2, "index": 0}, {"attempt": 3, "index": 2}]

    assert [run["attempt"] for run in finished.last_of_each(runs)] == [2, 3]
    assert finished.last_of_each([{"attempt": 1}, {"attempt": 2}]) == [{"attempt": 1}, {"attempt": 2}]


@pytest.mark.parametrize(
    ("spec", "status", "many"),
    [({}, {}, False), ({"completions": 1}, {}, False), ({"parallelism": 0}, {}, True), ({}, {"ready": 0}, True)],
)
def test_a_job_has_many_runs_as_the_controller_has_it(spec, status, many):
    assert finished.has_many_runs({"spec": spec, "status": status}) is many


class At:
    """A connection to the live API."""

    def __init__(self, client):
        self.client, self.namespace = client, "default"


@pytest.fixture
def running(live):
    live.create(JOB, a_job("many", **INDEXED))
    runs = [{"attempt": n, "index": n + 3, "state": "Running"} for n in (1, 2)]
    live.set_status(JOB, "many", phase="Running", ready=2, runs=runs)
    return At(live.client)


def test_who_goes_into_one_of_many_runs_says_which(running):
    assert run_targets.find(running, "many", index=5).pod == "many-5-2"
    assert run_targets.find(running, "many", attempt=1).pod == "many-4-1"
    assert run_targets.find(running, "many-4-1").pod == "many-4-1"


@pytest.mark.parametrize(
    ("index", "why"),
    [(None, "2 runs of it are running: say which with --index, one of 4, 5"), (0, "its run of index 0 is not running")],
)
def test_who_does_not_say_which_is_told_how(running, index, why):
    with pytest.raises(Exception, match=why):
        run_targets.find(running, "many", index=index)
