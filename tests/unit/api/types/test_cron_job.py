import pytest

from api.errors import Invalid
from api.kinds import CRON_JOB
from api.objects import admission
from api.types.cron_job import ConcurrencyPolicy, CronJob, job_of, owner_reference
from support.cron_jobs import a_cron_job_document
from support.objects import admit, by


def problems(name="tick", **spec):
    with pytest.raises(Invalid) as refused:
        admit(CRON_JOB, a_cron_job_document(name, **spec), "default", by("me"))
    return [str(cause) for cause in refused.value.causes]


def test_defaults_are_kubernetes_own():
    spec = CronJob.model_validate(a_cron_job_document()).spec

    assert (spec.concurrency_policy, spec.suspend, spec.starting_deadline_seconds) == (
        ConcurrencyPolicy.ALLOW,
        False,
        None,
    )
    assert (spec.successful_jobs_history_limit, spec.failed_jobs_history_limit) == (3, 1)


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ({"schedule": "every day"}, "spec.schedule"), ({"schedule": ""}, "spec.schedule"),
        ({"schedule": "TZ=UTC * * * * *"}, "put that into timeZone"), ({"timeZone": "Local"}, "spec.timeZone"),
        ({"timeZone": "Mars/Phobos"}, "is no time zone of the tz database: write one such as Europe/Berlin"),
        ({"concurrencyPolicy": "Never"}, "spec.concurrencyPolicy"), ({"startingDeadlineSeconds": -1}, "spec.starting"),
        ({"successfulJobsHistoryLimit": -1}, "spec.successfulJobsHistoryLimit"),
        ({"jobTemplate": {"spec": {"command": []}}}, "spec.jobTemplate.spec.command"),
        ({"jobTemplate": {"spec": {"command": ["x"], "startAt": "2026-01-01T00:00:00Z"}}}, "schedule says when"),
        ({"jobTemplate": None}, "spec.jobTemplate"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused(spec, what):
    assert what in " ".join(problems(**spec))


@pytest.mark.parametrize("name", ["a" * 53, "with.dot", "Upper"])
def test_a_name_leaves_room_for_those_of_its_jobs(name):
    assert problems(name)[0].startswith("metadata.name")


def test_the_longest_name_is_as_in_kubernetes():
    assert admission.validate(CRON_JOB, a_cron_job_document("a" * 52)) is None


def test_a_job_of_it_is_its_own_and_has_the_templates_labels():
    cron_job = a_cron_job_document(jobTemplate={"metadata": {"labels": {"a": "b"}}, "spec": {"command": ["x"]}})
    cron_job["metadata"]["uid"] = "u"
    job = job_of(cron_job, "tick-1", {"c": "d"})

    assert job["metadata"] == {
        "name": "tick-1", "namespace": "default", "labels": {"a": "b"}, "annotations": {"c": "d"},
        "ownerReferences": [owner_reference(cron_job, blocks=False)],
    }  # fmt: skip
    assert "blockOwnerDeletion" not in owner_reference(cron_job, blocks=False)
