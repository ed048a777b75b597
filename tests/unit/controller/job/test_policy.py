import pytest

from api.types.job import RunState
from controller.engine.plan import Plan
from controller.job.plan import plan
from controller.job.policy import REQUIRABLE, Policy, judge, why_not_here
from controller.job.report import report
from controller.job.steps import AbandonRun, BeginRun
from support.builders import a_job, a_run, observed_job, running, unclaimed, with_runs


def judged(policy=None, namespace="default", **spec):
    return [(cause.field, cause.message) for cause in judge(policy or Policy(), namespace, a_job(**spec).spec)]


def fields(*arguments, **spec):
    return [field for field, _ in judged(*arguments, **spec)]


def with_capabilities(*names):
    return {"securityContext": {"capabilities": {"add": list(names)}}}


def test_a_job_that_asks_for_nothing_is_allowed_by_any_policy_that_requires_nothing():
    assert judged() == []


def test_the_profile_baseline_is_refused_with_the_field_the_setting_and_the_fix():
    ((field, message),) = judged(securityProfile="baseline")

    assert field == "spec.securityProfile"
    assert message == (
        'Forbidden: "baseline" is below the setting policy.minimum_profile, "strict": leave it out, or name the '
        "namespace default in policy.baseline_namespaces"
    )


@pytest.mark.parametrize(
    "policy",
    [
        Policy(minimum_profile="baseline"),
        Policy(baseline_namespaces=frozenset({"default"})),
        Policy(baseline_namespaces=frozenset({"*"})),
    ],
)
def test_the_profile_baseline_is_allowed_where_the_policy_says_so(policy):
    assert judged(policy, securityProfile="baseline") == []


def test_a_namespace_that_may_have_baseline_gives_it_to_no_other():
    policy = Policy(baseline_namespaces=frozenset({"debugging"}))

    assert judged(policy, "debugging", securityProfile="baseline") == []
    assert fields(policy, "default", securityProfile="baseline") == ["spec.securityProfile"]


def test_each_capability_that_is_not_given_to_the_namespace_is_named():
    policy = Policy(capabilities={"default": frozenset({"CHOWN"}), "*": frozenset({"KILL"})})
    found = judged(policy, **with_capabilities("CHOWN", "KILL", "SETUID"))

    assert [field for field, _ in found] == ["spec.securityContext.capabilities.add"]
    assert 'does not give "SETUID" to the namespace default' in found[0][1]
    assert "policy.capabilities.default" in found[0][1]
    assert fields(policy, "other", **with_capabilities("CHOWN")) == ["spec.securityContext.capabilities.add"]


def test_what_is_dropped_needs_no_permission():
    assert judged(securityContext={"capabilities": {"drop": ["ALL"]}}) == []


@pytest.mark.invariant("U7")
@pytest.mark.parametrize(
    ("policy", "namespace"),
    [({}, "default"), ({"team": ("/srv/sets",)}, "default"), ({"*": ("/srv/set", "/srv/sets/other")}, "team")],
)
def test_a_file_of_the_host_that_is_not_given_to_the_namespace_is_named_with_the_setting(policy, namespace):
    files = [{"path": "x", "text": "x"}, {"path": "y", "hostPath": "/srv/sets/a"}]

    ((field, message),) = judged(Policy(host_files=policy), namespace, files=files)

    assert field == "spec.files[1].hostPath"
    assert message == (
        f"Forbidden: the setting policy.host_files gives the namespace {namespace} nothing at /srv/sets/a: upload it "
        f"(rnx job run --upload), or add its directory to policy.host_files.{namespace}"
    )


@pytest.mark.parametrize("policy", [{"*": ("/srv/sets",)}, {"default": ("/srv",)}, {"default": ("/srv/sets/a",)}])
def test_a_file_of_the_host_that_is_given_is_allowed(policy):
    assert judged(Policy(host_files=policy), files=[{"path": "y", "hostPath": "/srv/sets/a"}]) == []


def test_limits_that_have_to_be_set_are_named_where_they_are_not():
    policy = Policy(required_limits=REQUIRABLE)

    assert fields(policy) == [
        "spec.resources.limits.cpu",
        "spec.resources.limits.memory",
        "spec.resources.limits.pids",
        "spec.resources.limits.ephemeral-storage",
        "spec.activeDeadlineSeconds",
    ]
    limits = {"cpu": "1", "memory": "64Mi", "pids": 10, "ephemeral-storage": "8Mi"}
    assert judged(policy, resources={"limits": limits}, activeDeadlineSeconds=60) == []


def test_a_host_without_landlock_runs_nothing_if_the_policy_requires_it():
    assert why_not_here(Policy(require_landlock=True), 7) == ""
    assert why_not_here(Policy(), 0) == ""
    assert "policy.require_landlock is true, and this kernel has no Landlock" in why_not_here(
        Policy(require_landlock=True), 0
    )


def test_no_run_begins_while_the_policy_forbids_it_and_the_job_says_why():
    planned = plan(a_job(), observed_job(forbidden="spec.securityProfile: Forbidden: …"))

    assert planned.steps == ()
    assert (planned.waiting.reason, planned.waiting.message) == ("PolicyForbids", "spec.securityProfile: Forbidden: …")


def test_a_run_that_is_on_record_and_not_started_ends_so_gives_back_what_it_held_and_counts_as_no_failure():
    decided = plan(with_runs(a_job(backoffLimit=0), a_run()), observed_job(unclaimed(), forbidden="no"))
    assert decided == Plan.once_recorded(AbandonRun(1, "PolicyForbids", "no"))

    job = with_runs(a_job(backoffLimit=0), a_run(1, RunState.ENDED, reason="PolicyForbids"))
    waits = plan(job, observed_job(forbidden="no"))
    assert (waits.steps, waits.waiting.reason) == ((), "PolicyForbids")
    assert report(job, observed_job(), waits, work_bytes=1).failed == 0
    assert any(isinstance(step, BeginRun) for step in plan(job, observed_job()).steps)  # Once it is allowed again.


def test_a_run_that_runs_is_left_alone_whatever_the_policy_has_become():
    job = with_runs(a_job(), a_run(state=RunState.RUNNING))

    assert plan(job, observed_job(running(), forbidden="no")) == plan(job, observed_job(running()))


def test_a_class_is_for_the_namespaces_that_the_policy_gives_it_to():
    given = Policy(priority_classes={"web": frozenset({"urgent"}), "*": frozenset({"batch"})})

    def refused(namespace, name):
        return [str(each) for each in judge(given, namespace, a_job(priorityClassName=name).spec)]

    assert [refused("web", "urgent"), refused("other", "batch"), refused("web", "batch")] == [[], [], []]
    assert refused("other", "urgent") == [
        'spec.priorityClassName: Forbidden: the setting policy.priority_classes does not give "urgent" to the namespace '
        "other: leave it out, or add it to policy.priority_classes.other"
    ]
    assert judge(Policy(), "other", a_job(priorityClassName="urgent").spec) == []


def test_the_hosts_network_is_given_to_the_namespaces_that_the_policy_names():
    network, policy = {"name": "host"}, Policy(host_network=frozenset({"edge"}))

    assert judged(policy, "edge", network=network) == []
    assert judged(Policy(host_network=frozenset({"*"})), network=network) == []
    ((field, message),) = judged(policy, network=network)
    assert field == "spec.network.name"
    assert message == (
        "Forbidden: the setting policy.host_network does not give the host's own network to the namespace default: "
        "use bridge, with ports for what is to be reached, or name the namespace in policy.host_network"
    )


def test_a_right_to_low_ports_is_none_to_those_of_the_host():
    policy = Policy(host_network=frozenset({"*"}), capabilities={"*": frozenset({"NET_BIND_SERVICE"})})

    ((field, message),) = judged(policy, network={"name": "host"}, **with_capabilities("NET_BIND_SERVICE"))

    assert field == "spec.securityContext.capabilities.add"
    assert "gives no port of the host's own network" in message
