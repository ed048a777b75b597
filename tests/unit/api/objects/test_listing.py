import base64
import json

import pytest

from api.errors import BadRequest, Expired
from api.kinds import JOB, NAMESPACE
from api.objects import selectors
from support.objects import a_job, by

ME = by("me")


@pytest.fixture
def seven(verbs):
    for number in range(7):
        verbs.create(JOB, "default", a_job(f"j{number}", metadata={"labels": {"odd": str(number % 2)}}), ME)
    return verbs


def names(page):
    return [item["metadata"]["name"] for item in page.items]


def pages(verbs, limit, selector=selectors.EVERYTHING):
    found = [verbs.list(JOB, "default", selector, limit)]
    while found[-1].continue_:
        found.append(verbs.list(JOB, "default", selector, limit, found[-1].continue_))
    return found


def test_pages_are_the_whole_list_in_order(seven):
    found = pages(seven, 3)

    assert [names(page) for page in found] == [["j0", "j1", "j2"], ["j3", "j4", "j5"], ["j6"]]
    assert [page.remaining for page in found] == [4, 1, None]


def test_all_pages_show_the_moment_of_the_first(seven):
    first = seven.list(JOB, "default", limit=3)
    seven.create(JOB, "default", a_job("j33"), ME)
    seven.patch(JOB, "default", "j4", {"spec": {"suspend": True}}, "application/merge-patch+json", ME)

    second = seven.list(JOB, "default", limit=10, continue_=first.continue_)

    assert names(second) == ["j3", "j4", "j5", "j6"]
    assert second.revision == first.revision
    assert "suspend" not in second.items[1]["spec"]


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_a_selector_fills_pages_with_what_matches(seven, limit):
    found = pages(seven, limit, selectors.parse(JOB, "odd=1", None))

    assert [name for page in found for name in names(page)] == ["j1", "j3", "j5"]
    assert all(len(page.items) <= limit for page in found)
    assert {page.remaining for page in found} == {None}


def test_a_selector_reads_on_over_what_does_not_match(verbs):
    for number in range(520):
        verbs.create(JOB, "default", a_job(f"j{number:03}"), ME)
    verbs.create(JOB, "default", a_job("last", metadata={"labels": {"a": "b"}}), ME)

    assert names(verbs.list(JOB, "default", selectors.parse(JOB, "a=b", None), 5)) == ["last"]


def test_a_list_is_of_one_namespace_or_of_all(seven):
    seven.create(NAMESPACE, "", {"metadata": {"name": "other"}}, ME)
    seven.create(JOB, "other", a_job("x"), ME)

    assert names(seven.list(JOB, "other")) == ["x"]
    assert len(seven.list(JOB, None).items) == 8


def test_a_list_can_be_of_an_earlier_moment(seven):
    revision = seven.list(JOB, "default").revision
    seven.create(JOB, "default", a_job("later"), ME)

    assert len(seven.list(JOB, "default", at_revision=revision).items) == 7


@pytest.mark.parametrize(
    "token", ["x", "é", "AAAA", base64.b64encode(b"{}").decode(), base64.b64encode(b"[1]").decode()]
)
def test_a_token_that_is_none_of_ours_is_refused(verbs, token):
    with pytest.raises(BadRequest, match="continue key is not valid"):
        verbs.list(JOB, "default", limit=1, continue_=token)


@pytest.mark.parametrize("revision", [-1, 1 << 70, 10**6])
def test_a_token_of_a_moment_that_is_not_there_is_expired(verbs, revision):
    token = base64.b64encode(json.dumps({"rv": revision, "ns": "", "name": ""}).encode()).decode()

    with pytest.raises(Expired):
        verbs.list(JOB, "default", limit=1, continue_=token)
