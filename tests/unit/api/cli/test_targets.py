"""What a person points at."""

import click
import pytest

from api import kinds
from api.cli import targets
from api.cli.targets import Target
from api.kinds import MANIFEST, POD
from api.objects import projections


@pytest.mark.parametrize("word", ["job", "jobs", "jo", "Jobs", "jobs.runwright.dev"])
def test_a_kind_has_many_names(word):
    assert targets.kind_of(word) is kinds.JOB


def test_a_list_of_kinds_and_a_category_are_several_kinds():
    assert targets.kinds_of("jobs,rt") == (kinds.JOB, kinds.RUNTIME)
    assert targets.kinds_of("all") == (kinds.JOB, kinds.CRON_JOB, POD)


def test_kind_and_names_are_objects():
    assert targets.parse(["job", "a", "b"]) == ((kinds.JOB,), (Target(kinds.JOB, "a"), Target(kinds.JOB, "b")))


def test_kind_slash_name_may_be_of_several_kinds():
    assert targets.parse(["job/a", "rt/b"])[1] == (Target(kinds.JOB, "a"), Target(kinds.RUNTIME, "b"))


def test_a_kind_alone_means_all_of_it():
    assert targets.parse(["jobs"]) == ((kinds.JOB,), ())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["jbos"], "did you mean jobs?"),
        (["zzzz"], "use one of jobs, runtimes"),
        (["job/a", "b"], "do not mix it with KIND NAME"),
        (["job/"], 'cannot read "job/" as KIND/NAME: write job/NAME'),
        (["job/a/b"], 'cannot read "job/a/b" as KIND/NAME: a name may not contain "/": write job/NAME'),
        (["/a"], 'cannot read "/a" as KIND/NAME: write KIND/NAME'),
        ([","], "no kind is named"),
        ([], "name what"),
    ],
)
def test_what_means_nothing_is_refused_with_what_would(words, why):
    with pytest.raises(click.UsageError) as refused:
        targets.parse(words)

    assert why in refused.value.message


def test_an_object_prints_as_kubectl_prints_it():
    assert str(Target(kinds.JOB, "etl")) == "job.runwright.dev/etl"
    assert str(Target(POD, "etl-1")) == "pod/etl-1"


@pytest.mark.parametrize(("ours", "servers"), [(POD, projections.POD), (MANIFEST, projections.MANIFEST)])
def test_what_is_shown_and_not_stored_has_the_servers_names(ours, servers):
    for part in ("name", "plural", "short_names", "namespaced", "api_version", "categories"):
        assert getattr(ours, part) == getattr(servers, part), part


def test_what_is_printed_is_taken_back():
    for kind in targets.SERVED:
        assert targets.parse_objects((targets.full_name(kind, "x"),)) == (Target(kind, "x"),)
