import pytest

from api.workflows.expressions import All, Any, BadExpression, Is, Not, Outcome, jobs, parse, value, write

COMPLETE, FAILED, SKIPPED = Outcome.COMPLETE, Outcome.FAILED, Outcome.SKIPPED
ENDED = {"job1": COMPLETE, "job2": FAILED, "job4": SKIPPED}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("job1=COMPLETED", True),
        ("job1 = completed", True),
        ("job1==COMPLETED", True),
        ("job2=COMPLETED", False),
        ("job2!=COMPLETED", True),
        ("job4=FINISHED", True),
        ("job4=SKIPPED", True),
        ("job4=FAILED", False),
        ("job1=COMPLETED AND job2=FAILED", True),
        ("job1=COMPLETED AND job2=COMPLETED", False),
        ("job1=COMPLETED OR job2=COMPLETED", True),
        ("job1=FAILED OR job2=COMPLETED", False),
        ("job1 IN (COMPLETED,FAILED)", True),
        ("job4 IN (COMPLETED, FAILED)", False),
        ("job4 NOT IN (COMPLETED, FAILED)", True),
        ("NOT job1=FAILED", True),
        ("not (job1=FAILED or job2=FAILED)", False),
        ("(job1=COMPLETED OR job2=COMPLETED) AND job2=FAILED", True),
        ("job1=FAILED AND job2=COMPLETED OR job1=COMPLETED", True),
        ("job1=COMPLETED OR job1=FAILED AND job2=COMPLETED", True),
        ("job3=COMPLETED", None),
        ("job3=FINISHED", None),
        ("job3!=FAILED", None),
        ("job1=COMPLETED AND job3=COMPLETED", None),
        ("job1=COMPLETED OR job3=COMPLETED", True),
        ("job1=FAILED AND job3=COMPLETED", False),
    ],
)
def test_an_expression_holds_does_not_or_is_open(text, expected):
    assert value(parse(text), ENDED) is expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has its end, where the name of a job is expected"),
        ("a", "has its end, where =, != or IN is expected"),
        ("a=", "where COMPLETED, FAILED, SKIPPED or FINISHED is expected"),
        ("a=RUNNING", '"RUNNING" is no way for a job to end: use COMPLETED, FAILED, SKIPPED, FINISHED'),
        ("a=COMPLETED b=FAILED", 'has "b" at character 13, where AND, OR or the end is expected'),
        ("a=COMPLETED AND", "has its end, where the name of a job is expected"),
        ("(a=COMPLETED", "has its end, where ) is expected"),
        ("a=COMPLETED)", 'has ")" at character 12'),
        ("a IN COMPLETED", 'has "COMPLETED" at character 6, where ( is expected'),
        ("a IN (COMPLETED", "has its end, where ) is expected"),
        ("a < COMPLETED", 'has "<" at character 3, where =, != or IN is expected'),
        ("AND=COMPLETED", 'has "AND" at character 1, where the name of a job is expected'),
        ("(" * 40 + "a=FAILED" + ")" * 40, "nests deeper than 32 levels"),
        ("NOT " * 40 + "a=FAILED", "nests deeper than 32 levels"),
        ("a=FAILED OR " * 400 + "a=FAILED", "is longer than 4096 characters"),
    ],
)
def test_what_is_no_expression_says_where_it_is_wrong(text, why):
    with pytest.raises(BadExpression) as refused:
        parse(text)

    assert why in str(refused.value)


def test_and_binds_closer_than_or_and_not_closest():
    assert parse("a=FAILED OR NOT b=FAILED AND c=FAILED") == Any(
        (
            Is("a", frozenset({FAILED})),
            All((Not(Is("b", frozenset({FAILED}))), Is("c", frozenset({FAILED})))),
        )
    )


def test_it_names_all_jobs_that_it_is_about():
    assert jobs(parse("a=FAILED AND (b IN (FAILED) OR NOT c=FINISHED)")) == {"a", "b", "c"}


def test_names_can_be_written_otherwise():
    text = "My_Job=COMPLETED AND NOT (other=FAILED OR My_Job IN (FAILED,SKIPPED))"

    assert write(parse(text), lambda name: name.lower().replace("_", "-")) == (
        "my-job=COMPLETED AND NOT (other=FAILED OR my-job IN (FAILED,SKIPPED))"
    )
