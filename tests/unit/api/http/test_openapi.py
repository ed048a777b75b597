import json
import re

import pytest

from api.kinds import KINDS, PROJECTED

GROUP = "apis/runwright.dev/v1alpha1"


@pytest.fixture(scope="module")
def documents(served):
    places = served.client.get("/openapi/v3").json()["paths"]
    return {
        path: served.client.get(place["serverRelativeURL"] + "&timeout=32s").json() for path, place in places.items()
    }


def walk(schema, path=""):
    if isinstance(schema, dict):
        for name, member in (schema.get("properties") or {}).items():
            yield f"{path}.{name}", member
            yield from walk(member, f"{path}.{name}")
        yield from walk(schema.get("items"), f"{path}[]")
        yield from walk(schema.get("additionalProperties"), f"{path}{{}}")


def test_every_kind_has_a_schema_that_names_it(documents):
    schemas = {
        name: each for document in documents.values() for name, each in document["components"]["schemas"].items()
    }
    named = {
        (gvk["group"], gvk["kind"])
        for schema in schemas.values()
        for gvk in schema.get("x-kubernetes-group-version-kind", ())
    }

    assert {(kind.group, kind.name) for kind in (*KINDS, *PROJECTED)} <= named


def test_every_field_is_described(documents):
    schemas = {
        name: each for document in documents.values() for name, each in document["components"]["schemas"].items()
    }
    fields = [(f"{name}{path}", member) for name, schema in schemas.items() for path, member in walk(schema)]

    assert len(fields) > 100
    assert [path for path, member in fields if not member.get("description")] == []


def test_every_kind_says_what_it_is_and_what_its_objects_have(documents):
    kinds = {
        name: schema
        for document in documents.values()
        for name, schema in document["components"]["schemas"].items()
        if schema.get("x-kubernetes-group-version-kind") and not name.endswith("List")
    }

    told = [schema["description"] for schema in kinds.values()]
    assert len(set(told)) == len(kinds)
    assert not [text for text in told if "TypeMeta" in text]
    bare = [name for name, schema in kinds.items() if schema["properties"].keys() <= {"apiVersion", "kind", "metadata"}]
    assert bare == []


@pytest.mark.parametrize(
    ("document", "schema", "path", "words"),
    [
        ("api/v1", "io.k8s.api.core.v1.Pod", "spec.containers.resources.limits", "`512Mi`"),
        ("api/v1", "io.k8s.api.core.v1.Pod", "spec.restartPolicy", "Default: Never."),
        ("api/v1", "io.k8s.api.core.v1.Pod", "status.containerStatuses.state.terminated.exitCode", "128"),
        ("api/v1", "io.k8s.api.core.v1.Service", "spec.clusterIP", "10.96.0.10"),
        ("api/v1", "io.k8s.api.core.v1.Node", "status.conditions.reason", "HasSufficientDisk"),
        (GROUP, "dev.runwright.v1alpha1.Manifest", "line", "counted from 1"),
        ("apis/metrics.k8s.io/v1beta1", "io.k8s.api.metrics.v1beta1.PodMetrics", "containers.usage.memory", "3072Ki"),
    ],
)
def test_what_is_shown_and_not_stored_is_described_with_units_and_examples(documents, document, schema, path, words):
    at = documents[document]["components"]["schemas"][schema]
    for name in path.split("."):
        at = at.get("items", at)["properties"][name]

    assert words in at["description"]


def test_every_kind_that_can_be_patched_says_that_the_server_validates(documents):
    patches = [
        operations["patch"]
        for document in documents.values()
        for operations in document["paths"].values()
        if "patch" in operations
    ]

    assert len(patches) >= len(KINDS)
    for patch in patches:
        assert "fieldValidation" in {parameter["name"] for parameter in patch["parameters"]}
        assert patch["x-kubernetes-group-version-kind"]["kind"]


def test_references_lead_somewhere(documents):
    for document in documents.values():
        wanted = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
        assert wanted <= document["components"]["schemas"].keys()


def test_operations_have_names_of_their_own(documents):
    names = [
        operation["operationId"]
        for document in documents.values()
        for path in document["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]

    assert len(names) == len(set(names))


def test_our_own_kinds_take_no_strategic_patches_and_core_kinds_do(documents):
    strategic = "application/strategic-merge-patch+json"
    job = documents[GROUP]["paths"][f"/{GROUP}/namespaces/{{namespace}}/jobs/{{name}}"]["patch"]["requestBody"]
    event = documents["api/v1"]["paths"]["/api/v1/namespaces/{namespace}/events/{name}"]["patch"]["requestBody"]

    assert strategic not in job["content"]
    assert strategic in event["content"]


def test_quantities_may_be_numbers_and_lists_say_how_they_merge(documents):
    spec = documents[GROUP]["components"]["schemas"]["dev.runwright.v1alpha1.Job"]["properties"]["spec"]["properties"]

    assert spec["resources"]["properties"]["limits"]["properties"]["memory"]["x-kubernetes-int-or-string"] is True
    assert spec["env"]["x-kubernetes-list-map-keys"] == ["name"]
    assert spec["backoffLimit"]["description"].endswith("Default: 6.")


def test_what_is_no_group_is_not_found(api):
    assert api.client.get("/openapi/v3/apis/other/v1").status_code == 404


def test_the_second_version_is_refused_so_that_clients_take_the_third(api):
    answer = api.client.get(
        "/openapi/v2", headers={"accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
    )

    assert (answer.status_code, answer.json()["reason"]) == (406, "NotAcceptable")
