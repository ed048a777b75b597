"""Explanations of jobs that cannot be looked at; of others they are seen end to end."""

import os

import pytest

from controller.job.explain import JobExplainer
from controller.launcher.host_claims import HostClaim, HostClaims
from state.store import Store
from support.devices import Host
from support.hand_clock import HandClock
from support.stores import job_key


@pytest.fixture
def host(tmp_path):
    opened = Store.open(tmp_path / "state.db", HandClock())
    yield Host(tmp_path / "runs", opened, "0")
    opened.close()


def explained(host, name):
    return JobExplainer(host.store, host.observer(), None).explain(job_key(name))


def test_a_claim_of_devices_that_cannot_be_read_is_why_nothing_is_done(host, tmp_path):
    host.add("etl", zero=1)
    directory = str(tmp_path / "claims")

    with HostClaims(directory).claimed(HostClaim("uid-9", "/there", "job/a/b", ("c1:5",)), lambda _live: "") as path:
        os.truncate(path, 3)
        explanation = explained(host, "etl")

    cause = f"cannot tell which devices the run of {path} has: wait for its end, or end it"
    assert explanation["reasons"][0] == cause
    assert (explanation["plan"], explanation["object"]) == ([], "job/default/etl")
