"""A job's run as the launcher is asked for it."""

from dataclasses import replace
from pathlib import Path

import pytest

from api.types.job import Job
from controller.cgroup.limits import Limits
from controller.job import run_spec
from controller.job.observed import RuntimeReady
from controller.job.run_spec import RunDefaults
from controller.sandbox.rights import Rights
from support.objects import a_job

MiB = 1 << 20
DEFAULTS = RunDefaults(
    pids=64, memory_bytes=96 * MiB, work_bytes=MiB, tmp_bytes=MiB, shm_bytes=MiB, log_max_bytes=MiB, log_max_files=2,
    cgroup_parent="runwright",
)  # fmt: skip


def job_with(**limits):
    return Job.model_validate(a_job("etl", resources={"limits": limits}))


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({}, Limits(96 * MiB, None, 64)),
        ({"memory": "8Mi"}, Limits(8 * MiB, None, 64)),
        ({"memory": "1Gi", "cpu": "500m", "pids": 3}, Limits(1024 * MiB, 500, 3)),
    ],
)
def test_a_job_gets_the_limits_it_asks_for_and_the_settings_for_the_rest(asked, given):
    assert run_spec.limits(job_with(**asked), DEFAULTS) == given


def test_the_room_in_work_is_the_jobs_or_the_settings():
    assert run_spec.work_bytes(job_with(), DEFAULTS) == MiB
    assert run_spec.work_bytes(job_with(**{"ephemeral-storage": "5Mi"}), DEFAULTS) == 5 * MiB


def test_a_run_has_the_rights_that_its_job_asks_for_and_needs_what_the_policy_does():
    plain = Job.model_validate(a_job("etl"))
    asking = Job.model_validate(
        a_job("etl", securityProfile="baseline", securityContext={"capabilities": {"add": ["KILL", "CHOWN"]}})
    )

    assert run_spec.rights(plain, DEFAULTS) == Rights()
    assert run_spec.rights(asking, DEFAULTS) == Rights("baseline", ("CHOWN", "KILL"))
    assert run_spec.rights(plain, replace(DEFAULTS, needs_landlock=True)).needs_landlock


def test_a_job_of_the_hosts_network_is_in_it_and_asks_whom_the_host_asks():
    job = Job.model_validate(a_job("etl", network={"name": "host"}))
    places = run_spec.RunPlaces(Path("/runs/1"), Path("/logs/1"), None)

    spec = run_spec.run_spec(job, 1, RuntimeReady(), places, DEFAULTS, place=run_spec.Place(None, ("127.0.0.53",)))

    assert (spec.rights, spec.network) == (Rights(host_network=True), None)
    assert (spec.sandbox.addresses, spec.sandbox.name_servers) == ((), ("127.0.0.53",))
