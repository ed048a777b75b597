import pytest
from pydantic import ValidationError

from api.types.workflow import Workflow, job_documents, problems_with_change
from support.workflows import a_workflow_document


def refused(**jobs):
    with pytest.raises(ValidationError) as error:
        Workflow.model_validate(a_workflow_document(**jobs))
    return str(error.value)


@pytest.mark.invariant("O2")
def test_a_ring_is_refused_and_named():
    said = refused(a={"requires": [{"job": "c"}]}, b={"requires": [{"job": "a"}]}, c={"expression": "b=FINISHED"})

    assert "these jobs wait for each other: a waits for c, c waits for b, b waits for a" in said


def test_a_job_that_requires_itself_is_a_ring():
    assert "a waits for a" in refused(a={"requires": [{"job": "a"}]})


@pytest.mark.parametrize("how", [{"requires": [{"job": "extrakt"}]}, {"expression": "extrakt=FAILED"}])
def test_an_unknown_name_is_refused_with_those_there_are(how):
    said = refused(extract={}, load=how)

    assert 'job "load" requires "extrakt", which is no job of this workflow: it has extract, load' in said


@pytest.mark.parametrize("name", ["Extract", "a_b", "-a", "a.b", "", "a" * 64])
def test_a_name_that_no_job_can_have_is_refused(name):
    assert "is no name for a job" in refused(**{name: {}})


def test_a_workflow_without_jobs_or_with_very_many_is_refused():
    assert "must be 1 to 256 jobs" in refused()
    assert "must be 1 to 256 jobs" in refused(**{f"j{number}": {} for number in range(257)})


def test_order_and_time_to_live_are_the_workflows_own():
    assert "use requires" in refused(a={"spec": {"after": [{"job": "b"}]}})
    assert "set that of the workflow" in refused(a={"spec": {"ttlSecondsAfterFinished": 5}})


def test_an_expression_that_cannot_be_read_is_refused_with_why():
    assert "is no way for a job to end" in refused(a={}, b={"expression": "a=RUNNING"})


def test_the_jobs_it_comes_to_are_named_labelled_and_owned():
    workflow = a_workflow_document(extract={"metadata": {"labels": {"tier": "gold"}}}, load={})

    extract, load = job_documents(workflow)

    assert (extract["metadata"]["name"], load["metadata"]["name"]) == ("etl-extract", "etl-load")
    assert extract["metadata"]["labels"] == {
        "tier": "gold",
        "runwright.dev/workflow": "etl",
        "runwright.dev/workflow-job": "extract",
    }
    (owner,) = load["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
        "Workflow", "etl", workflow["metadata"]["uid"], True,
    )  # fmt: skip
    assert load["spec"] == {"command": ["true"]}


def test_its_jobs_cannot_be_changed_but_the_rest_can():
    live, other = a_workflow_document(a={}), a_workflow_document(a={}, b={})
    held = live | {"spec": live["spec"] | {"suspend": True}}

    assert [cause.field for cause in problems_with_change(live, other)] == ["spec.jobs"]
    assert problems_with_change(live, held) == []
