"""Labels and annotations of objects that are there."""

import pytest

from api.kinds import JOB, RUNTIME
from support.objects import a_job, a_runtime


def marks(live, name, field="labels"):
    return live.get(JOB, name)["metadata"].get(field)


def test_what_is_said_is_set_and_removed_and_the_rest_stays(rnx, live):
    live.create(JOB, a_job(metadata={"labels": {"keep": "1", "old": "2"}, "annotations": {"keep": "1", "old": "2"}}))

    labels = rnx("label", "job", "etl", "team=data", "old-")
    annotations = rnx("annotate", "job/etl", "note=a=b", "old-")

    assert (labels.code, labels.out) == (0, "job.runwright.dev/etl labeled\n")
    assert (annotations.code, annotations.out) == (0, "job.runwright.dev/etl annotated\n")
    assert marks(live, "etl") == {"keep": "1", "team": "data"}
    assert marks(live, "etl", "annotations") == {"keep": "1", "note": "a=b"}


def test_what_is_so_already_is_not_written(rnx, live):
    live.create(JOB, a_job(metadata={"labels": {"team": "data"}}))
    before = live.get(JOB, "etl")

    said = rnx("label", "job/etl", "team=data", "gone-")

    assert (said.code, said.out) == (0, "job.runwright.dev/etl not labeled\n")
    assert live.get(JOB, "etl") == before


def test_another_value_is_replaced_only_when_that_is_said(rnx, live):
    live.create(JOB, a_job(metadata={"labels": {"team": "data"}}))

    refused = rnx("label", "job/etl", "team=web", "new=1")
    assert (refused.code, refused.out) == (1, "")
    assert '"team" has the value "data" already: --overwrite replaces it' in refused.err
    assert marks(live, "etl") == {"team": "data"}

    assert rnx("label", "--overwrite", "job/etl", "team=web").code == 0
    assert marks(live, "etl") == {"team": "web"}


def test_all_or_those_with_labels_are_marked_and_one_refusal_stops_no_other(rnx, live):
    live.create(JOB, a_job("a", metadata={"labels": {"app": "x"}}))
    live.create(JOB, a_job("b"))
    live.create(RUNTIME, a_runtime())

    assert rnx("label", "jobs", "-l", "app=x", "team=data").lines == ["job.runwright.dev/a labeled"]
    said = rnx("label", "job", "a", "none", "b", "more=1")
    assert (said.code, said.lines) == (1, ["job.runwright.dev/a labeled", "job.runwright.dev/b labeled"])
    assert "not found" in said.err
    assert rnx("label", "jobs,runtimes", "--all", "every=1").code == 0
    assert rnx("label", "jobs", "-l", "app=none", "x=1").err == "No resources found in default namespace\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("job/etl",), "say what to set: KEY=VALUE"),
        (("job/etl", "=x"), 'cannot read "=x"'),
        (("job/etl", "a=1", "a-"), '"a" is said twice'),
        (("jobs", "a=1"), "name the jobs, or say --all or -l SELECTOR"),
        (("a=1",), "name what"),
        (("job/etl", "--all", "a=1"), "names cannot be given together with --all"),
    ],
)
def test_what_is_not_clear_is_refused_before_anything_is_done(rnx, live, arguments, why):
    live.create(JOB, a_job())

    said = rnx("label", *arguments)

    assert (said.code, why in said.err) == (2, True)
    assert not marks(live, "etl")


def test_what_is_no_label_is_refused_by_the_server_with_why(rnx, live):
    live.create(JOB, a_job())

    said = rnx("label", "job/etl", "team=no value")

    assert (said.code, "metadata.labels" in said.err) == (1, True)
