"""What became of runs, where the host remembers less than the job's status."""

from dataclasses import replace

import pytest

from api.types.job import RunState
from controller.job import history
from controller.job.observed import ObservedJob
from support.builders import a_job, a_run, lost, observed_job, running, unclaimed, with_runs


@pytest.mark.parametrize("on_the_host", [unclaimed(), None], ids=["unclaimed", "nothing there"])
def test_a_run_of_another_boot_is_lost_though_its_claim_went_with_the_power(on_the_host):
    job = with_runs(a_job(), a_run(boot_id="another"))
    observed: ObservedJob = observed_job(*([] if on_the_host is None else [on_the_host]))

    (run,) = history.runs(job, observed)

    assert run.reason == "RunLost"
    assert history.counts_as_failure(run)


@pytest.mark.parametrize("found", [running(), lost()], ids=["running", "lost"])
def test_what_a_run_is_held_to_is_on_record_before_its_end_and_stays_there(found):
    told = replace(found, receipt={"memoryBytes": 1})

    (run,) = history.runs(with_runs(a_job(), a_run()), observed_job(told))
    (later,) = history.runs(with_runs(a_job(), run), observed_job(found))

    assert run.receipt == later.receipt == {"memoryBytes": 1}


def test_what_a_run_replaces_is_all_before_it_or_what_was_of_its_index():
    runs = [a_run(n, RunState.ENDED, index=index) for n, index in ((1, 0), (2, 1), (3, 0))]
    indexed = with_runs(a_job(completionMode="Indexed", completions=2), *runs)

    assert history.replaced_by(indexed, 3) == {1}
    assert history.replaced_by(with_runs(a_job(parallelism=2), a_run(1), a_run(2)), 2) == frozenset()
    assert history.replaced_by(with_runs(a_job(), a_run(1)), 1) is None
