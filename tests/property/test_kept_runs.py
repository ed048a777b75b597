"""Runs of one job that end in any order: who stays on record, and whose log stays with that."""

import tempfile
from datetime import timedelta
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from api.meta import wire_micro_time
from api.types.job import RunState
from controller.job import remains, tally
from support.builders import NOW, a_job, a_run, with_runs

KEPT = 3
ROUNDS = st.lists(st.tuples(st.integers(0, 4), st.lists(st.integers(0, 9), max_size=5)), max_size=12)
"""How many begin, and which of those that go on end after that, the one that ends first in front."""


class Model:
    """A job, the logs of its runs, and in which order these ended."""

    def __init__(self, logs):
        self.logs, self.begun, self.ended = logs, 0, []
        self.job = a_job(completionMode="Indexed", completions=300, parallelism=100)

    def begin(self):
        self.begun += 1
        (self.logs / str(self.begun)).mkdir()  # Before the run is on record, which is sooner than ever.
        self.tidy()
        self.record((*self.job.status.runs, a_run(self.begun, RunState.RUNNING, index=self.begun)))

    def end(self, which):
        going_on = [run.attempt for run in self.job.status.runs if run.state is not RunState.ENDED]
        ended = list(dict.fromkeys(going_on[number % len(going_on)] for number in which if going_on))
        self.ended += ended
        moment = {attempt: wire_micro_time(NOW + timedelta(seconds=n)) for n, attempt in enumerate(self.ended)}
        over = {"state": RunState.ENDED, "reason": "Completed"}
        now = tuple(
            run.model_copy(update=over | {"finished_at": moment[run.attempt]}) if run.attempt in ended else run
            for run in self.job.status.runs
        )
        self.record(now, on_host=ended)
        self.tidy()
        self.record(self.job.status.runs)

    def record(self, runs, on_host=()):
        kept = tally.kept(self.job, runs, tally.of(self.job, runs), on_host)
        self.job = with_runs(self.job, *kept, attempts=self.begun)

    def tidy(self):
        remains.remove_old_logs(self.logs, [run.attempt for run in self.job.status.runs], self.job.status.attempts)

    def check(self):
        on_record = {run.attempt for run in self.job.status.runs}
        assert on_record == {*range(1, self.begun + 1)} - set(self.ended[:-KEPT])
        assert on_record <= self.with_logs()
        self.tidy()
        assert self.with_logs() == on_record

    def with_logs(self):
        return {int(path.name) for path in self.logs.iterdir()}


@settings(max_examples=100, deadline=None)
@given(ROUNDS)
def test_who_ended_last_and_who_goes_on_stay_on_record_with_their_logs(rounds):
    with tempfile.TemporaryDirectory() as logs, mock.patch.object(tally, "KEPT_RUNS", KEPT):
        model = Model(Path(logs))
        for begun, which in rounds:
            for _ in range(begun):
                model.begin()
            model.end(which)
            model.check()
