"""Roles and bindings as Kubernetes reads them."""

import pytest

from api.access import giving, presets
from api.access.policy import EVERYBODY, Policy, refusal
from api.access.rules import Asked, Rule, Scope, uncovered
from api.access.users import MASTERS, User, known
from api.errors import Forbidden, Invalid
from api.kinds import CLUSTER_ROLE_BINDING, CRON_JOB, JOB, ROLE, WORKFLOW
from support.access import a_binding, a_role, policy

GROUP = "runwright.dev"
READ_JOBS = Rule(("get", "list"), (GROUP,), ("jobs",))
ALICE = known("alice", ("team",), via="test")


def may(policy, user, verb, resource="jobs", namespace="default", group=GROUP, name=""):
    resource, _, subresource = resource.partition("/")
    return policy.decide(user, Asked(verb, group, resource, subresource, namespace, name)).allowed


def test_nothing_is_allowed_without_a_role():
    assert not may(Policy(), ALICE, "get")
    assert may(Policy(), known("root", (MASTERS,), via="test"), "get")


def test_a_cluster_binding_holds_everywhere_and_a_role_binding_in_its_namespace():
    everywhere = policy(a_role("r", READ_JOBS), a_binding("b", "r", "User:alice"))
    here = policy(a_role("r", READ_JOBS), a_binding("b", "r", "User:alice", namespace="default"))

    assert [may(everywhere, ALICE, "get", namespace=space) for space in ("default", "other", "")] == [True] * 3
    assert [may(here, ALICE, "get", namespace=space) for space in ("default", "other", "")] == [True, False, False]


def test_a_role_of_another_namespace_is_not_meant():
    elsewhere = policy(
        a_role("r", READ_JOBS, namespace="other"),
        a_binding("b", "r", "User:alice", namespace="default", role_kind="Role"),
    )

    assert not may(elsewhere, ALICE, "get")


def test_a_cluster_binding_to_a_role_gives_nothing():
    assert not may(policy(a_role("r", READ_JOBS), a_binding("b", "r", "User:alice", role_kind="Role")), ALICE, "get")


def test_users_and_groups_are_not_mistaken_for_each_other():
    by_group = policy(a_role("r", READ_JOBS), a_binding("b", "r", "Group:team"))
    confused = policy(a_role("r", READ_JOBS), a_binding("b", "r", "User:team", "Group:alice"))

    assert may(by_group, ALICE, "get")
    assert not may(confused, ALICE, "get")


def test_a_service_account_is_a_user_of_its_namespace():
    binding = a_binding("b", "r")
    binding["subjects"] = [{"kind": "ServiceAccount", "name": "bot", "namespace": "ci"}]

    bound = policy(a_role("r", READ_JOBS), binding)

    assert may(bound, User("system:serviceaccount:ci:bot"), "get")
    assert not may(bound, User("bot"), "get")


@pytest.mark.parametrize(
    ("resources", "asked", "allowed"),
    [
        (("pods",), "pods", True),
        (("pods",), "pods/log", False),
        (("pods/log",), "pods/log", True),
        (("pods/log",), "pods", False),
        (("*/log",), "pods/log", True),
        (("*/log",), "pods/exec", False),
        (("*",), "pods/exec", True),
        (("pods/*",), "pods/exec", False),
        (("po*",), "pods", False),
    ],
)
def test_resources_are_matched_as_kubernetes_does(resources, asked, allowed):
    granted = policy(a_role("r", Rule(("get",), ("",), resources)), a_binding("b", "r", "User:alice"))

    assert may(granted, ALICE, "get", asked, group="") is allowed


def test_a_named_object_is_the_only_one_and_lists_and_new_ones_have_no_name():
    granted = policy(
        a_role("r", Rule(("get", "list", "create"), (GROUP,), ("jobs",), ("etl",))), a_binding("b", "r", "User:alice")
    )

    assert may(granted, ALICE, "get", name="etl")
    assert not may(granted, ALICE, "get", name="other")
    assert not may(granted, ALICE, "list")
    assert not may(granted, ALICE, "create")


@pytest.mark.parametrize(
    ("pattern", "path", "allowed"),
    [
        ("/metrics", "/metrics", True),
        ("/metrics", "/metrics/x", False),
        ("/logs/*", "/logs/a/b", True),
        ("*", "/x", True),
    ],
)
def test_paths_are_matched_whole_or_by_their_beginning(pattern, path, allowed):
    granted = policy(a_role("r", Rule(("get",), paths=(pattern,))), a_binding("b", "r", "User:alice"))

    assert granted.decide(ALICE, Asked("get", path=path)).allowed is allowed


def test_the_core_group_is_not_every_group():
    granted = policy(a_role("r", Rule(("get",), ("",), ("jobs",))), a_binding("b", "r", "User:alice"))

    assert not may(granted, ALICE, "get")


def test_a_scope_holds_masters_too():
    root = known("root", (MASTERS,), via="test", scope=(Scope(READ_JOBS, ("default",)),))

    assert may(Policy(), root, "get")
    assert not may(Policy(), root, "delete")
    assert not may(Policy(), root, "get", namespace="other")
    assert Policy().decide(root, Asked("get", path="/api")).allowed


def test_an_empty_scope_is_a_scope_of_nothing():
    assert not may(Policy(), known("root", (MASTERS,), via="test", scope=()), "get")


@pytest.mark.parametrize(
    ("role", "rights"),
    [
        ("viewer", {"get jobs", "list runtimes", "get pods/log"}),
        ("developer", {"get jobs", "create jobs", "delete pods", "create pods/exec", "get secrets"}),
        ("maintainer", {"create runtimes", "create namespaces", "get secrets", "create pods/exec"}),
        ("admin", {"create runtimes", "create clusterroles", "create tokens", "get secrets"}),
    ],
)
def test_the_presets_give_what_they_say(role, rights):
    every = {
        "get jobs", "list runtimes", "get pods/log", "create jobs", "delete pods", "create pods/exec", "get secrets",
        "create runtimes", "create namespaces", "create clusterroles", "create tokens",
    }  # fmt: skip
    groups = {"pods": "", "pods/log": "", "pods/exec": "", "secrets": "", "namespaces": "", "clusterroles": "rbac.authorization.k8s.io",
              "tokens": "access.runwright.dev"}  # fmt: skip
    granted = policy(*presets.cluster_roles(), a_binding("b", role, "User:alice"))

    given = {
        right for right in every
        if may(granted, ALICE, right.split()[0], right.split()[1], group=groups.get(right.split()[1], GROUP))
    }  # fmt: skip

    assert rights <= given
    assert ("get secrets" in given) is (role != "viewer")
    assert ("create clusterroles" in given) is (role == "admin")
    assert ("create tokens" in given) is (role == "admin")
    assert ("create runtimes" in given) is (role in ("maintainer", "admin"))


def test_a_wildcard_is_covered_by_a_wildcard_only():
    every_verb = Rule(("*",), (GROUP,), ("jobs",))

    assert uncovered([Rule(("get", "list", "delete"), (GROUP,), ("jobs",))], [every_verb]) == (every_verb,)
    assert uncovered([every_verb], [READ_JOBS]) == ()
    assert uncovered([Rule(("get",), (GROUP,), ("jobs",)), Rule(("list",), ("*",), ("*",))], [READ_JOBS]) == ()


def test_a_rule_for_one_name_does_not_cover_all_names():
    named = Rule(("get",), (GROUP,), ("jobs",), ("etl",))

    assert uncovered([named], [Rule(("get",), (GROUP,), ("jobs",))]) != ()
    assert uncovered([Rule(("get",), (GROUP,), ("jobs",))], [named]) == ()


def test_the_verb_escalate_lets_a_role_be_written():
    role = a_role("r", Rule(("*",), ("*",), ("*",)), namespace="default")
    may_escalate = policy(
        a_role("e", Rule(("escalate",), ("rbac.authorization.k8s.io",), ("roles",))), a_binding("b", "e", "User:alice")
    )

    with pytest.raises(Forbidden, match="not currently held"):
        giving.check(Policy(), ALICE, ROLE, None, role)
    assert giving.check(may_escalate, ALICE, ROLE, None, role) is None


def test_a_role_whose_rules_stay_may_be_labelled_by_whoever_may_write_it():
    role = a_role("r", Rule(("*",), ("*",), ("*",)), namespace="default")
    labelled = role | {"metadata": role["metadata"] | {"labels": {"a": "b"}}}

    assert giving.check(Policy(), ALICE, ROLE, role, labelled) is None


def test_the_verb_bind_lets_one_role_be_bound():
    may_bind = policy(
        a_role("admin", Rule(("*",), ("*",), ("*",))),
        a_role("e", Rule(("bind",), ("rbac.authorization.k8s.io",), ("clusterroles",), ("admin",))),
        a_binding("b", "e", "User:alice"),
    )

    assert giving.check(may_bind, ALICE, CLUSTER_ROLE_BINDING, None, a_binding("x", "admin", "User:bob")) is None
    with pytest.raises(Forbidden, match="not there"):
        giving.check(may_bind, ALICE, CLUSTER_ROLE_BINDING, None, a_binding("x", "other", "User:bob"))


def test_a_binding_keeps_its_role():
    with pytest.raises(Invalid, match="roleRef"):
        giving.check(
            Policy(), ALICE, CLUSTER_ROLE_BINDING, a_binding("x", "a", "User:bob"), a_binding("x", "b", "User:bob")
        )


def test_an_owner_of_an_unknown_kind_may_be_named_and_not_held_up():
    def job(**more):
        reference = {"apiVersion": "example.com/v1", "kind": "Thing", "name": "x", "uid": "1", **more}
        return {"kind": "Job", "metadata": {"name": "j", "namespace": "default", "ownerReferences": [reference]}}

    assert giving.check(Policy(), ALICE, JOB, None, job()) is None
    with pytest.raises(Forbidden, match="no kind that is known"):
        giving.check(Policy(), ALICE, JOB, None, job(blockOwnerDeletion=True))


def test_an_owner_that_was_there_before_is_nobody_elses_doing():
    reference = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Job", "name": "x", "uid": "1"}
    job = {"kind": "Job", "metadata": {"name": "j", "namespace": "default", "ownerReferences": [reference]}}

    assert giving.check(Policy(), ALICE, JOB, job, job) is None


def test_a_refusal_names_the_path_or_the_scope():
    assert str(refusal(ALICE, Asked("get", path="/x"))) == 'forbidden: User "alice" cannot get path "/x"'
    assert str(refusal(ALICE, Asked("list", "", "pods"))) == (
        'pods is forbidden: User "alice" cannot list resource "pods" in API group "" at the cluster scope'
    )


def test_everybody_may_ask_what_there_is_and_change_nothing():
    verbs = {verb for rule in EVERYBODY for verb in rule.verbs if rule.paths}

    assert verbs == {"get", "head"}


@pytest.mark.invariant("T4")
def test_who_has_jobs_made_by_a_cron_job_may_make_them():
    cron_jobs = Rule(("create", "update"), (GROUP,), ("cronjobs",))
    both = Rule(("create", "patch"), (GROUP,), ("cronjobs", "jobs"))
    document = {"kind": "CronJob", "metadata": {"name": "c", "namespace": "default"}, "spec": {"schedule": "@daily"}}
    renamed = document | {"metadata": document["metadata"] | {"labels": {"a": "b"}}}

    def check(rule, before, after):
        giving.check(policy(a_role("r", rule), a_binding("b", "r", "User:alice")), ALICE, CRON_JOB, before, after)

    check(both, None, document)
    check(cron_jobs, document, renamed)
    with pytest.raises(Forbidden, match="jobs are made of it, .* cannot create resource") as refused:
        check(cron_jobs, None, document)
    assert refused.value.about.name == "c"
    with pytest.raises(Forbidden, match="jobs are made of it"):
        check(cron_jobs, document, document | {"spec": {"schedule": "@hourly"}})


def test_developers_have_cron_jobs_and_viewers_see_them():
    roles = policy(a_role("d", *presets.DEVELOPER), a_binding("b", "d", "User:alice"))
    views = policy(a_role("v", *presets.VIEWER), a_binding("b", "v", "User:alice"))

    assert all(may(roles, ALICE, verb, "cronjobs") for verb in ("get", "create", "patch", "delete"))
    assert [may(views, ALICE, verb, "cronjobs") for verb in ("watch", "create")] == [True, False]


def a_workflow_of_alices(**metadata):
    metadata = {"name": "w", "namespace": "default", **metadata}
    return {"kind": "Workflow", "metadata": metadata, "spec": {"jobs": {}}}


@pytest.mark.invariant("A2")
def test_who_may_not_make_jobs_makes_none_by_a_workflow():
    rules = (
        Rule(("create", "update", "patch"), (GROUP,), ("workflows",)),
        Rule(("create", "patch"), (GROUP,), ("jobs",)),
    )
    only_workflows = policy(a_role("r", rules[0]), a_binding("b", "r", "User:alice"))
    both = policy(a_role("r", *rules), a_binding("b", "r", "User:alice"))
    cancelled = a_workflow_of_alices(annotations={"runwright.dev/stop-requested": "now"})

    for before, after in ((None, a_workflow_of_alices()), (a_workflow_of_alices(), cancelled)):
        with pytest.raises(Forbidden, match="jobs are made of it"):
            giving.check(only_workflows, ALICE, WORKFLOW, before, after)
        assert giving.check(both, ALICE, WORKFLOW, before, after) is None


def test_who_may_not_make_jobs_may_still_label_a_workflow():
    labelled = a_workflow_of_alices(labels={"team": "a"})

    assert giving.check(Policy(), ALICE, WORKFLOW, a_workflow_of_alices(), labelled) is None
