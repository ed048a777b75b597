"""Scopes of quotas: which there are, and which of them make no sense, in words of what to do."""

import pytest

from api.errors import Invalid
from api.kinds import RESOURCE_QUOTA
from api.objects import admission
from api.types import resource_quota

PODS = {"pods": "1"}


def a_quota(hard=PODS, scopes=None, *selected):
    spec = {"hard": hard} | ({"scopes": scopes} if scopes else {})
    spec |= {"scopeSelector": {"matchExpressions": list(selected)}} if selected else {}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": spec}


def expression(scope="PriorityClass", operator="Exists", *values):
    return {"scopeName": scope, "operator": operator} | ({"values": list(values)} if values else {})


@pytest.mark.parametrize(
    "quota",
    [
        a_quota(PODS, ["BestEffort"]),
        a_quota({"cpu": "1", "limits.memory": "1Gi", "requests.ephemeral-storage": "1Gi"}, ["NotBestEffort"]),
        a_quota({"requests.nvidia.com/gpu": "1", "pods": "1"}, ["Terminating", "NotBestEffort"]),
        a_quota(PODS, ["PriorityClass"]),
        a_quota(PODS, None, expression("PriorityClass", "In", "high", "low")),
        a_quota(PODS, ["NotTerminating"], expression("PriorityClass", "NotIn", "high"), expression("BestEffort")),
        a_quota(PODS, None, expression("PriorityClass", "DoesNotExist")),
        a_quota(PODS, ["Terminating", "Terminating"], expression("Terminating")),
    ],
)
def test_a_quota_may_be_of_some_jobs_only(quota):
    assert admission.validate(RESOURCE_QUOTA, quota) is None


@pytest.mark.parametrize(
    ("quota", "field", "said"),
    [
        (
            a_quota(PODS, ["Mine"]),
            "spec.scopes[0]",
            'Unsupported value: "Mine": supported values: "Terminating", "NotTerminating", "BestEffort", '
            '"NotBestEffort", "PriorityClass"',
        ),
        (a_quota(PODS, ["CrossNamespacePodAffinity"]), "spec.scopes[0]", "supported values"),
        (
            a_quota(PODS, ["BestEffort", "NotBestEffort"]),
            "spec.scopes",
            'Invalid value: ["BestEffort", "NotBestEffort"]: conflicting scopes: no job is both BestEffort and '
            "NotBestEffort",
        ),
        (
            a_quota(PODS, None, expression("Terminating"), expression("NotTerminating")),
            "spec.scopeSelector",
            "conflicting",
        ),
        (a_quota(PODS, ["Terminating"], expression("NotTerminating")), "spec.scopeSelector", "conflicting scopes"),
        (
            a_quota({"requests.cpu": "1"}, ["BestEffort"]),
            "spec.scopes",
            "unsupported scope applied to resource: a quota of jobs that are BestEffort can be of pods only, not of "
            "requests.cpu",
        ),
        (a_quota({"count/jobs": "1"}, ["Terminating"]), "spec.scopes", "not of count/jobs: make it another quota"),
        (a_quota({"secrets": "1"}, None, expression()), "spec.scopeSelector", "not of secrets: make it another quota"),
        (
            a_quota(PODS, None, expression("Nothing")),
            "spec.scopeSelector.matchExpressions[0].scopeName",
            "supported values",
        ),
        (
            a_quota(PODS, None, expression("PriorityClass", "Is", "high")),
            "spec.scopeSelector.matchExpressions[0].operator",
            'Unsupported value: "Is": supported values: "In", "NotIn", "Exists", "DoesNotExist"',
        ),
        (
            a_quota(PODS, None, expression("Terminating", "DoesNotExist")),
            "spec.scopeSelector.matchExpressions[0].operator",
            'Invalid value: "DoesNotExist": must be Exists for the scope Terminating',
        ),
        (
            a_quota(PODS, None, expression(), expression("PriorityClass", "NotIn")),
            "spec.scopeSelector.matchExpressions[1].values",
            "Required value: at least one value with the operator NotIn",
        ),
        (
            a_quota(PODS, None, expression("PriorityClass", "Exists", "high")),
            "spec.scopeSelector.matchExpressions[0].values",
            'Invalid value: ["high"]: must be no value with the operator Exists',
        ),
    ],
)
def test_scopes_that_make_no_sense_are_refused_with_why(quota, field, said):
    with pytest.raises(Invalid) as refused:
        admission.validate(RESOURCE_QUOTA, quota)

    (cause,) = refused.value.causes
    assert cause.field == field
    assert said in cause.message


def test_scopes_stay_as_they_were_and_their_order_says_nothing():
    one, turned = a_quota(PODS, ["Terminating", "BestEffort"]), a_quota(PODS, ["BestEffort", "Terminating"])

    assert resource_quota.problems_with_change(one, turned) == []
    assert resource_quota.problems_with_change(a_quota(), {**a_quota(), "spec": None}) == []
    (cause,) = resource_quota.problems_with_change(one, a_quota())
    assert cause.field == "spec.scopes"
    assert cause.message.startswith("Invalid value: field is immutable: delete the quota and make it again")
