"""What became of runs, where the host remembers less than the job's status."""

import pytest

from controller.job import history
from controller.job.observed import ObservedJob
from support.builders import a_job, a_run, observed_job, unclaimed, with_runs


@pytest.mark.parametrize("on_the_host", [unclaimed(), None], ids=["unclaimed", "nothing there"])
def test_a_run_of_another_boot_is_lost_though_its_claim_went_with_the_power(on_the_host):
    job = with_runs(a_job(), a_run(boot_id="another"))
    observed: ObservedJob = observed_job(*([] if on_the_host is None else [on_the_host]))

    (run,) = history.runs(job, observed)

    assert run.reason == "RunLost"
    assert history.counts_as_failure(run)
