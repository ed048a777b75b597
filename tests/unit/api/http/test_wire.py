"""What clients need of every answer, whatever it is about: what they sent that must be borne, what they must find."""

import json
import re

import pytest

from support.objects import a_job

EVERYTHING = ("/api", "/apis", "/api/v1", "/apis/runwright.dev/v1alpha1", "/openapi/v3", "/version/")
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.mark.parametrize("true", ["1", "t", "T", "true", "TRUE", "True"])
def test_parameters_are_true_as_in_go(api, true):
    with api.client.stream("GET", api.jobs(), params={"watch": true, "timeoutSeconds": 1}) as answer:
        assert (answer.status_code, answer.headers.get("transfer-encoding")) == (200, "chunked")
        assert "content-length" not in answer.headers


def test_a_type_without_a_body_is_borne(api):
    headers = {"content-type": "application/json"}

    assert api.client.get(api.jobs(), headers=headers).status_code == 200
    assert api.client.request("DELETE", api.jobs(), headers=headers).status_code == 200


@pytest.mark.parametrize("path", EVERYTHING)
def test_parameters_that_nobody_knows_are_ignored(api, path):
    assert api.client.get(path, params={"timeout": "32s", "pretty": "true"}).status_code == 200


@pytest.mark.parametrize("path", EVERYTHING)
@pytest.mark.parametrize("accept", ["*/*", AGGREGATED + ",application/json"])
def test_nothing_that_is_discovered_has_an_etag(api, path, accept):
    answer = api.client.get(path, headers={"accept": accept, "if-none-match": '"x"'})

    assert (answer.status_code, "etag" in answer.headers) == (200, False)


@pytest.mark.parametrize("accept", ["application/vnd.kubernetes.protobuf,application/json", "*/*", None])
def test_json_is_answered_to_who_would_rather_have_protobuf(api, accept):
    answer = api.client.get(api.jobs(), headers={} if accept is None else {"accept": accept})

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


def test_every_item_says_what_it_is_with_whole_seconds_and_a_decimal_version(api):
    api.client.post(api.jobs(), json=a_job())
    listed = api.client.get(api.jobs()).json()
    with api.client.stream("GET", api.jobs(), params={"watch": "true", "timeoutSeconds": 1}) as answer:
        event = json.loads(next(answer.iter_lines()))

    assert (listed["kind"], listed["metadata"]["resourceVersion"].isdecimal()) == ("JobList", True)
    for item in (*listed["items"], event["object"]):
        assert (item["kind"], item["apiVersion"]) == ("Job", "runwright.dev/v1alpha1")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", item["metadata"]["creationTimestamp"])
        assert item["metadata"]["resourceVersion"].isdecimal()


def test_the_address_of_a_schema_is_another_when_the_schema_is(api):
    listed = api.client.get("/openapi/v3").json()["paths"]
    addresses = {group: each["serverRelativeURL"] for group, each in listed.items()}

    assert len({address.partition("hash=")[2] for address in addresses.values()}) == len(addresses)
    for address in addresses.values():
        assert api.client.get(address).json()["openapi"].startswith("3.")


def test_every_kind_is_in_the_categories_that_kubectl_gets_by(api):
    resources = api.client.get("/apis/runwright.dev/v1alpha1").json()["resources"]
    jobs = next(each for each in resources if each["name"] == "jobs")
    pods = next(each for each in api.client.get("/api/v1").json()["resources"] if each["name"] == "pods")

    assert "all" in jobs["categories"]
    assert "all" in pods["categories"]
    own = [each for each in resources if each["name"] in ("jobs", "runtimes", "registries", "runtimetemplates")]
    assert [each["name"] for each in own if "runwright" not in each["categories"]] == []
