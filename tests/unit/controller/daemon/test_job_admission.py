import pytest

from api.errors import Forbidden, Invalid
from api.kinds import CRON_JOB, JOB, PRIORITY_CLASS
from api.objects.verbs import Verbs
from controller.daemon.job_admission import JobAdmission
from controller.engine.errors import TransientError
from controller.job.policy import Policy
from state.store import Store
from support.builders import a_job as a_typed_job
from support.cron_jobs import CronWorld, a_cron_job_document
from support.hand_clock import HandClock
from support.objects import a_job, a_runtime, by

ME = by("me")
MERGE = "application/merge-patch+json"


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store.db", HandClock())
    yield store
    store.close()


def nothing(_key):
    return None


def verbs_under(store, **policy):
    verbs = Verbs(store, HandClock(), JobAdmission(Policy(**policy), 7, store.get).judged)
    verbs.bootstrap()
    return verbs


def test_a_job_that_the_policy_does_not_allow_is_refused_and_every_cause_is_told(store):
    verbs = verbs_under(store, required_limits=("memory",))
    with pytest.raises(Forbidden) as refused:
        verbs.create(JOB, "default", a_job(securityProfile="baseline"), ME)

    status = refused.value.status()
    assert (status["code"], status["reason"]) == (403, "Forbidden")
    assert status["message"].startswith('jobs.runwright.dev "etl" is forbidden: it violates this host\'s policy: ')
    assert [cause["field"] for cause in status["details"]["causes"]] == [
        "spec.securityProfile",
        "spec.resources.limits.memory",
    ]


@pytest.mark.invariant("X7")
@pytest.mark.parametrize("dry_run", [True, False])
def test_no_way_of_writing_a_job_gets_around_it(store, dry_run):
    verbs = verbs_under(store)
    verbs.create(JOB, "default", a_job(), ME)
    live = verbs.get(JOB, "default", "etl")
    wanted = {"spec": {"securityProfile": "baseline"}}
    options = by("me", dry_run=dry_run, force=True)

    for write in (
        lambda: verbs.create(JOB, "default", a_job("other", securityProfile="baseline"), options),
        lambda: verbs.patch(JOB, "default", "etl", wanted, MERGE, options),
        lambda: verbs.apply(JOB, "default", "etl", a_job(securityProfile="baseline"), options),
        lambda: verbs.apply(JOB, "default", "third", a_job("third", securityProfile="baseline"), options),
        lambda: verbs.replace(JOB, "default", "etl", live | {"spec": live["spec"] | wanted["spec"]}, options),
    ):
        with pytest.raises(Forbidden):
            write()


def test_what_is_stored_already_can_still_be_labelled_deleted_and_made_right(store):
    verbs_under(store, minimum_profile="baseline").create(JOB, "default", a_job(securityProfile="baseline"), ME)
    verbs = verbs_under(store)

    verbs.patch(JOB, "default", "etl", {"metadata": {"labels": {"a": "b"}}}, MERGE, ME)
    verbs.patch(JOB, "default", "etl", {"status": {"phase": "Pending"}}, MERGE, ME, "status")
    with pytest.raises(Forbidden):
        verbs.patch(JOB, "default", "etl", {"spec": {"suspend": True}}, MERGE, ME)
    right = verbs.patch(JOB, "default", "etl", {"spec": {"securityProfile": "strict"}}, MERGE, ME).document

    assert right["spec"]["securityProfile"] == "strict"


def test_other_kinds_have_no_policy():
    assert JobAdmission(Policy(required_limits=("memory",)), 0, nothing).judge(a_runtime(), None) is None


def test_a_stored_job_is_judged_again_with_the_same_words():
    admission = JobAdmission(Policy(require_landlock=True), 0, nothing)
    job = a_typed_job(securityProfile="baseline")

    why = admission.why_not(job)
    assert why.startswith("spec.securityProfile: Forbidden: ")
    assert "this kernel has no Landlock" in why
    assert JobAdmission(Policy(), 0, nothing).why_not(a_typed_job()) == ""


@pytest.mark.invariant("T4")
def test_a_cron_job_whose_jobs_the_policy_does_not_allow_is_refused_with_the_paths_in_its_template(store):
    verbs = verbs_under(store, required_limits=("memory",))
    template = {"spec": {"command": ["true"], "securityProfile": "baseline"}}
    with pytest.raises(Forbidden) as refused:
        verbs.create(CRON_JOB, "default", a_cron_job_document("tick", jobTemplate=template), ME)

    status = refused.value.status()
    assert status["message"].startswith('cronjobs.runwright.dev "tick" is forbidden: it violates this host\'s policy: ')
    assert [cause["field"] for cause in status["details"]["causes"]] == [
        "spec.jobTemplate.spec.securityProfile",
        "spec.jobTemplate.spec.resources.limits.memory",
    ]


@pytest.mark.invariant("T4")
def test_a_job_of_a_cron_job_is_judged_again_when_it_is_made(tmp_path):
    world = CronWorld(tmp_path)
    try:
        world.apply()
        world.verbs = verbs_under(world.store, required_limits=("memory",))
        world.begin_process()
        world.clock.advance(60)

        with pytest.raises(TransientError, match=r"policy.required_limits has .memory."):
            world.reconcile()
    finally:
        world.close()


def test_a_class_that_is_not_there_is_refused_in_kubernetes_words(store):
    verbs = verbs_under(store)

    with pytest.raises(Forbidden) as refused:
        verbs.create(JOB, "default", a_job(priorityClassName="urgent"), ME)

    assert str(refused.value) == ('jobs.runwright.dev "etl" is forbidden: no PriorityClass with name urgent was found')


def test_a_job_whose_class_has_gone_can_be_changed_but_not_to_another_that_is_not_there(store):
    verbs = verbs_under(store)
    classes = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "urgent"},
        "value": 1,
    }
    made = verbs.create(PRIORITY_CLASS, "", classes, ME).document
    verbs.create(JOB, "default", a_job(priorityClassName="urgent"), ME)
    verbs.delete(PRIORITY_CLASS, "", made["metadata"]["name"])

    changed = verbs.patch(JOB, "default", "etl", {"spec": {"suspend": True}}, MERGE, ME).document
    with pytest.raises(Forbidden):
        verbs.patch(JOB, "default", "etl", {"spec": {"priorityClassName": "other"}}, MERGE, ME)

    assert changed["spec"]["suspend"] is True


@pytest.mark.parametrize("path", ["/usr", "/lib64", "/usr/bin", "/etc/hosts", "/etc/passwd/x", "/var/tmp"])
def test_a_volume_where_no_run_could_begin_is_refused_with_its_name_the_path_and_the_way_out(store, path):
    mounts = [{"name": "ok", "mountPath": "/usr/local"}, {"name": "data", "mountPath": path}]
    with pytest.raises(Invalid) as refused:
        verbs_under(store).create(JOB, "default", a_job(volumeMounts=mounts), ME)

    (cause,) = refused.value.causes
    assert cause.field == "spec.volumeMounts[1].mountPath"
    assert cause.message.startswith(f"Forbidden: volume data cannot be at {path}: ")
    assert cause.message.endswith(": mount it elsewhere: without a path it is at /volumes/data")


def test_one_that_was_stored_before_that_can_still_be_changed_otherwise(store):
    stored = a_job(metadata={"namespace": "default"}, volumeMounts=[{"name": "data", "mountPath": "/usr"}])
    bare = Verbs(store, HandClock())
    bare.bootstrap()
    bare.create(JOB, "default", stored, ME)
    verbs = verbs_under(store)

    changed = verbs.patch(JOB, "default", "etl", {"spec": {"suspend": True}}, MERGE, ME).document
    assert changed["spec"]["suspend"]
    with pytest.raises(Invalid):
        verbs.create(JOB, "default", a_job("again", volumeMounts=stored["spec"]["volumeMounts"]), ME)
