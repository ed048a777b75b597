import pytest
from pydantic import ValidationError

from api.types import job_many
from api.types.job_spec import JobSpec
from support.builders import a_job_document


def spec(**fields):
    return JobSpec.model_validate({"command": ["true"], **fields})


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"completionMode": "Indexed"}, "completions is needed"),
        ({"completions": -1}, "greater than or equal to 0"),
        ({"completions": 100_001}, "less than or equal to 100000"),
        ({"parallelism": 1_001}, "less than or equal to 1000"),
        ({"completions": 2, "backoffLimitPerIndex": 1}, "needs completionMode: Indexed"),
        ({"completions": 2, "completionMode": "Indexed", "maxFailedIndexes": 1}, "needs backoffLimitPerIndex"),
        (
            {"completions": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 0, "maxFailedIndexes": 3},
            "at most completions, 2",
        ),
        ({"completionMode": "Sorted"}, "Indexed"),
    ],
)
def test_numbers_that_do_not_go_together_are_refused(fields, why):
    with pytest.raises(ValidationError, match=why):
        spec(**fields)


@pytest.mark.parametrize(
    ("fields", "many"),
    [
        ({}, False),
        ({"completions": 1, "parallelism": 1}, False),
        ({"completions": 2}, True),
        ({"parallelism": 0}, True),
        ({"parallelism": 3}, True),
        ({"completions": 1, "completionMode": "Indexed"}, True),
    ],
)
def test_a_job_has_many_runs_if_it_is_more_than_one_command_to_succeed_once(fields, many):
    assert spec(**fields).has_many_runs is many


def test_no_more_runs_go_on_at_a_time_than_have_to_succeed():
    assert spec(completions=2, parallelism=5).most_active == 2
    assert spec(parallelism=5).most_active == 5
    assert spec().most_active == 1
    assert spec(parallelism=0).most_active == 0


def test_a_limit_of_each_index_stands_for_a_backoff_limit_that_is_not_said():
    indexed = {"completions": 2, "completionMode": "Indexed"}

    assert spec(**indexed).most_failures == 6
    assert spec(**indexed, backoffLimitPerIndex=1).most_failures is None
    assert spec(**indexed, backoffLimitPerIndex=1, backoffLimit=3).most_failures == 3


def test_the_numbers_change_no_template():
    assert spec(completions=5, parallelism=2, completionMode="Indexed").template_hash() == spec().template_hash()


def change(before, after):
    return [
        cause.field
        for cause in job_many.problems_with_change(a_job_document("j", **before), a_job_document("j", **after))
    ]


INDEXED = {"completionMode": "Indexed", "completions": 3, "parallelism": 3}


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        ({}, {"completions": 1}, []),
        ({}, {"parallelism": 0}, []),
        ({"parallelism": 2}, {"parallelism": 2, "completions": 1}, ["spec.completions"]),
        ({"completions": 2}, {"completions": 2, "parallelism": 2}, []),
        ({"completions": 2}, {"completions": 3}, ["spec.completions"]),
        ({"completions": 2}, {"completions": 3, "parallelism": 3}, ["spec.completions"]),
        (INDEXED, INDEXED | {"completions": 5, "parallelism": 5}, []),
        (INDEXED, INDEXED | {"completions": 1, "parallelism": 1}, []),
        (INDEXED, INDEXED | {"completions": 5}, ["spec.completions"]),
        (INDEXED, {"completions": 3}, ["spec.completionMode"]),
        (INDEXED, INDEXED | {"backoffLimitPerIndex": 0}, ["spec.backoffLimitPerIndex"]),
        (INDEXED, INDEXED | {"parallelism": 1}, []),
    ],
)
def test_what_completes_a_job_stays_but_an_indexed_one_scales(before, after, refused):
    assert change(before, after) == refused


@pytest.mark.parametrize(
    ("wanted", "done", "cell"),
    [
        ({}, 0, "0/1"),
        ({"completions": 5}, 2, "2/5"),
        ({"parallelism": 3}, 0, "0/1 of 3"),
        ({"completions": 0}, 0, "0/0"),
    ],
)
def test_the_column_is_printed_as_kubectl_does(wanted, done, cell):
    assert job_many.completions({"spec": wanted, "status": {"succeeded": done}}) == cell
