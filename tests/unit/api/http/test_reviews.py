import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.kinds import CLUSTER_ROLE
from support.http import client_of
from support.objects import by
from support.protobuf import body, text

AUTHORIZATION = "/apis/authorization.k8s.io/v1"
AUTHENTICATION = "/apis/authentication.k8s.io/v1"


def test_an_access_review_comes_back_with_its_answer(api):
    spec = {"resourceAttributes": {"verb": "get", "group": "runwright.dev", "resource": "jobs", "namespace": "default"}}
    answer = api.client.post(f"{AUTHORIZATION}/selfsubjectaccessreviews", json={"spec": spec})

    assert answer.status_code == 201
    review = answer.json()
    assert (review["kind"], review["apiVersion"]) == ("SelfSubjectAccessReview", "authorization.k8s.io/v1")
    assert (review["spec"], review["status"]["allowed"]) == (spec, True)


def test_an_access_review_may_come_as_protobuf(api):
    resource = text(2, "list") + text(5, "jobs")
    raw = body("authorization.k8s.io/v1", "SelfSubjectAccessReview", text(2, text(1, resource)))
    headers = {
        "content-type": "application/vnd.kubernetes.protobuf",
        "accept": "application/vnd.kubernetes.protobuf,application/json",
    }
    answer = api.client.post(f"{AUTHORIZATION}/selfsubjectaccessreviews", content=raw, headers=headers)

    assert answer.json()["spec"]["resourceAttributes"] == {"verb": "list", "resource": "jobs"}
    assert answer.json()["status"]["allowed"] is True


@pytest.mark.parametrize(
    "spec", [{}, {"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/", "verb": "get"}}]
)
def test_an_access_review_asks_exactly_one_question(api, spec):
    answer = api.client.post(f"{AUTHORIZATION}/selfsubjectaccessreviews", json={"spec": spec})

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")


def test_a_rules_review_lists_what_is_allowed(api):
    answer = api.client.post(f"{AUTHORIZATION}/selfsubjectrulesreviews", json={"spec": {"namespace": "default"}})

    status = answer.json()["status"]
    assert status["resourceRules"] == [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    assert status["nonResourceRules"] == [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
    assert status["incomplete"] is False


def test_who_asks_is_told_who_it_is(api):
    user = api.client.post(f"{AUTHENTICATION}/selfsubjectreviews", json={}).json()["status"]["userInfo"]

    assert user["username"]
    assert "system:authenticated" in user["groups"]


def test_a_token_review_answers_for_its_sender(api):
    status = api.client.post(f"{AUTHENTICATION}/tokenreviews", json={"spec": {}}).json()["status"]

    assert status["authenticated"] is True


def test_a_token_review_of_a_token_that_nobody_gave_says_so_and_does_not_repeat_it(api):
    answer = api.client.post(f"{AUTHENTICATION}/tokenreviews", json={"spec": {"token": "guessed"}}).json()

    assert answer["status"]["authenticated"] is False
    assert "guessed" not in str(answer)


@pytest.mark.parametrize("sent", [[], {"kind": "Job"}, {"spec": 5}])
def test_what_is_no_review_is_refused(api, sent):
    assert api.client.post(f"{AUTHORIZATION}/selfsubjectaccessreviews", json=sent).status_code == 400


def test_reviews_are_discovered_and_described(api):
    found = api.client.get(AUTHORIZATION).json()["resources"]

    assert {resource["name"]: resource["verbs"] for resource in found}["selfsubjectaccessreviews"] == ["create"]
    assert "apis/authorization.k8s.io/v1" in api.client.get("/openapi/v3").json()["paths"]


@pytest.mark.parametrize("token", ['"\u2603"', '"\\ud800"', '"k\u00fcnstlich"', '"a\\nb"'])
def test_a_token_that_no_header_could_carry_is_nobodys(api, token):
    answer = api.client.post(
        f"{AUTHENTICATION}/tokenreviews",
        content=f'{{"spec": {{"token": {token}}}}}',
        headers={"content-type": "application/json"},
    )

    assert (answer.status_code, answer.json()["status"]["authenticated"]) == (201, False)
    assert answer.json()["spec"]["token"] == ""


def test_whose_a_token_is_is_looked_up_beside_what_others_ask(api, monkeypatch):
    asked, others_are_answered, by_itself = threading.Event(), threading.Event(), api.store.list

    def list_slowly(*arguments, **named):
        asked.set()
        others_are_answered.wait(10)
        return by_itself(*arguments, **named)

    role = {"metadata": {"name": "newer-than-what-is-known"}, "rules": []}
    api.verbs.create(CLUSTER_ROLE, "", role, by("tests"))
    monkeypatch.setattr(api.store, "list", list_slowly)
    with ThreadPoolExecutor(1) as threads, client_of(api.socket, timeout=5) as other:
        review = threads.submit(
            api.client.post, f"{AUTHENTICATION}/tokenreviews", json={"spec": {"token": "guessed"}}, timeout=20
        )
        try:
            assert asked.wait(10)
            assert other.get("/livez").status_code == 200
        finally:
            others_are_answered.set()

    assert review.result().json()["status"]["authenticated"] is False
