import pytest

from api.errors import Invalid
from api.kinds import JOB, PRIORITY_CLASS
from api.objects import admission
from api.types.job_spec import JobSpec
from support.objects import a_job


def a_class(name="urgent", value=1000, **fields):
    metadata = {"name": name}
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": metadata,
        "value": value,
        **fields,
    }


def refusal(kind, document):
    with pytest.raises(Invalid) as refused:
        admission.validate(kind, document)
    return str(refused.value)


def test_a_class_has_kubernetes_fields():
    whole = a_class(globalDefault=True, preemptionPolicy="Never", description="for people who wait")

    assert admission.validate(PRIORITY_CLASS, whole) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (a_class(value=1_000_000_001), "maximum allowed value of a user defined priority is 1000000000"),
        (a_class("system-mine"), "priority class names with 'system-' prefix are reserved for system use only"),
        (a_class(preemptionPolicy="Sometimes"), 'supported values: "PreemptLowerPriority", "Never"'),
    ],
)
def test_what_kubernetes_refuses_is_refused(wrong, said):
    assert said in refusal(PRIORITY_CLASS, wrong)


def test_a_value_cannot_be_changed():
    with pytest.raises(Invalid) as refused:
        admission.validate_change(PRIORITY_CLASS, a_class(), a_class(value=7, preemptionPolicy="Never"))

    assert "value: Forbidden: may not be changed in an update." in str(refused.value)
    assert "preemptionPolicy" in str(refused.value)
    assert admission.validate_change(PRIORITY_CLASS, a_class(), a_class(description="x")) is None


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        (
            {"requests": {"cpu": "2"}, "limits": {"cpu": "500m"}},
            'spec.resources.requests: Invalid value: {"cpu": "2"}: cpu must be less than or equal to cpu limit of 500m',
        ),
        ({"requests": {"memory": "-1"}}, "must not be negative"),
        ({"requests": {"nvidia.com/gpu": 1}}, "nvidia.com/gpu must be equal to nvidia.com/gpu limit"),
    ],
)
def test_a_request_is_at_most_the_limit(resources, said):
    assert said in refusal(JOB, a_job(resources=resources))


def test_requests_are_no_part_of_what_a_run_is_made_of():
    plain = JobSpec.model_validate({"command": ["true"]})
    wanted = JobSpec.model_validate(
        {"command": ["true"], "resources": {"requests": {"cpu": 1}}, "priorityClassName": "a"}
    )

    assert plain.template_hash() == wanted.template_hash()
