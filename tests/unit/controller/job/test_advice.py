"""What is told of a job that is taken: limits that the host cannot fill."""

import pytest

from api.kinds import CRON_JOB, JOB, WORKFLOW
from api.objects.verbs import Verbs
from controller.job import advice
from state.store import Store
from support.hand_clock import HandClock
from support.objects import a_job, by

HOST = {"cpu": 2000, "memory": 22900 << 20, "ephemeral-storage": 100 << 30}
TEMPLATE = {"spec": {"resources": {"limits": {"memory": "900Gi"}}}}


def resources(limits, **requests):
    return {"kind": "Job", "spec": {"resources": {"limits": limits, "requests": requests}}}


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        ({"memory": "900Gi"}, "spec.resources.limits.memory: 900Gi is more than runs can have on this host (22900Mi)"),
        ({"cpu": 64}, "spec.resources.limits.cpu: 64 is more than runs can have on this host (2)"),
        ({"ephemeral-storage": "1Ti"}, "spec.resources.limits.ephemeral-storage: 1Ti is more than"),
    ],
)
def test_a_limit_above_what_runs_can_have_is_told_with_what_follows(limits, what):
    (told,) = advice.of(resources(limits), HOST)

    assert told.startswith(what)
    assert "each run requests all of that" in told
    assert f"say resources.requests.{next(iter(limits))} " in told


def test_nothing_is_told_of_what_fits_of_what_is_requested_and_of_other_kinds():
    assert advice.of(resources({"cpu": "2", "memory": "22900Mi"}), HOST) == ()
    assert advice.of(resources({"memory": "900Gi"}, memory="1Gi"), HOST) == ()
    assert advice.of({"kind": "Job", "spec": {}}, HOST) == ()
    assert advice.of({"kind": "Network", "spec": {}}, HOST) == ()
    assert advice.of({"kind": "Secret"}, HOST) == ()


def test_what_makes_jobs_is_told_of_with_the_way_to_its_jobs():
    cron = {"kind": CRON_JOB.name, "spec": {"jobTemplate": TEMPLATE}}
    workflow = {"kind": WORKFLOW.name, "spec": {"jobs": {"a": {"template": {"spec": {}}}, "b": {"template": TEMPLATE}}}}

    assert advice.of(cron, HOST)[0].startswith("spec.jobTemplate.spec.resources.limits.memory: ")
    assert advice.of(workflow, HOST)[0].startswith("spec.jobs[b].template.spec.resources.limits.memory: ")


def test_who_creates_or_applies_is_told(tmp_path):
    store = Store.open(tmp_path / "store.db", HandClock())
    verbs = Verbs(store, HandClock(), advice=lambda new: advice.of(new, HOST))
    verbs.bootstrap()
    job = a_job(resources={"limits": {"cpu": "64"}})

    created = verbs.create(JOB, "default", job, by("me"))
    applied = verbs.apply(JOB, "default", "etl", job, by("you", force=True))
    store.close()

    assert [len(each.warnings) for each in (created, applied)] == [1, 1]
    assert (created.created, applied.created) == (True, False)
