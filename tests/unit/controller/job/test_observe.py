"""What is looked at of a job whose files of the host cannot be had."""

import pytest

from support.devices import Host
from support.stores import a_store


@pytest.fixture
def host(tmp_path):
    with a_store(tmp_path) as store:
        yield Host(tmp_path / "runs", store)


def test_a_job_waits_for_a_file_of_the_host_and_a_run_that_was_begun_does_not(host):
    files = [{"path": "in", "hostPath": "/srv/models"}]
    job = host.add("etl")
    job = job.model_copy(update={"spec": type(job.spec).model_validate({"command": ["true"], "files": files})})
    look = host.observer().look

    assert look(job).unresolved.startswith("spec.files[0].hostPath: cannot copy /srv/models: ")
    begun = job.model_copy(update={"status": host.record(host.job("etl"), 1, ()).status})
    assert look(begun).unresolved == ""
