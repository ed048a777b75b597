import pytest

from api.errors import BadRequest, UnsupportedMediaType
from api.http import protobuf
from support.protobuf import body, number, text

META = text(1, text(1, "x") + text(2, "") + text(8, b""))
PROTOBUF = {"content-type": protobuf.MEDIA_TYPE}


def test_a_namespace_is_read_and_what_is_empty_is_left_out():
    document = protobuf.read(body("v1", "Namespace", META + text(2, b"") + text(3, text(1, ""))))

    assert document == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}


def test_metadata_is_read_with_maps_lists_times_and_owners():
    owner = text(1, "Job") + text(3, "etl") + text(4, "u-1") + text(5, "runwright.dev/v1alpha1") + number(6, 0)
    managed = text(1, "me") + text(2, "Update") + text(7, text(1, '{"f:data":{}}'))
    raw = (
        text(1, "x") + number(7, 3) + text(8, number(1, 1_700_000_000) + number(2, 5)) + number(10, 0)
        + text(11, text(1, "a") + text(2, "b")) + text(12, text(1, "empty")) + text(13, owner)
        + text(14, "f1") + text(14, "f2") + text(17, managed)
    )  # fmt: skip

    assert protobuf.read(body("v1", "ConfigMap", text(1, raw)))["metadata"] == {
        "name": "x",
        "generation": 3,
        "creationTimestamp": "2023-11-14T22:13:20Z",
        "deletionGracePeriodSeconds": 0,
        "labels": {"a": "b"},
        "annotations": {"empty": ""},
        "ownerReferences": [
            {"kind": "Job", "name": "etl", "uid": "u-1", "apiVersion": "runwright.dev/v1alpha1", "controller": False}
        ],
        "finalizers": ["f1", "f2"],
        "managedFields": [{"manager": "me", "operation": "Update", "fieldsV1": {"f:data": {}}}],
    }


def test_bytes_are_base64_and_an_optional_zero_is_kept():
    secret = protobuf.read(body("v1", "Secret", META + text(2, text(1, "k") + text(2, b"\xff\x00")) + number(5, 0)))
    options = protobuf.read(body("v1", "DeleteOptions", number(1, 0) + text(4, "Orphan") + text(5, "All")))
    negative = protobuf.read(body("v1", "DeleteOptions", number(1, -1)))

    assert (secret["data"], secret["immutable"]) == ({"k": "/wA="}, False)
    assert {"gracePeriodSeconds": 0, "propagationPolicy": "Orphan", "dryRun": ["All"]}.items() <= options.items()
    assert negative["gracePeriodSeconds"] == -1


LATER = number(99, 1) + text(98, "x") + b"\xa1\x06" + b"8bytes.." + b"\xad\x06" + b"four"


def test_fields_that_are_not_known_are_told_of_by_their_numbers_unless_they_are_empty():
    document = protobuf.read(body("v1", "Namespace", META + LATER + number(97, 0) + text(96, "")))

    assert document.keys() - {"apiVersion", "kind", "metadata"} == {"#98", "#99", "#100", "#101"}


@pytest.mark.parametrize(("mode", "code"), [("Strict", 400), ("Warn", 201), ("Ignore", 201)])
def test_a_field_that_is_not_known_is_refused_or_told_of_as_json_s_are(api, mode, code):
    raw = body("v1", "ConfigMap", text(1, text(1, "x")) + LATER)
    place = f"/api/v1/namespaces/{api.space}/configmaps"

    answer = api.client.post(place, params={"fieldValidation": mode}, content=raw, headers=PROTOBUF)

    told = answer.json().get("message", "") + answer.headers.get("warning", "")
    assert answer.status_code == code
    assert ("#99" in told) is (mode != "Ignore")


def test_a_role_that_is_to_be_put_together_of_others_is_refused_in_protobuf_as_in_json(api):
    place, name = "/apis/rbac.authorization.k8s.io/v1/clusterroles", f"{api.space}-all"
    labels = text(1, text(1, "a") + text(2, "b"))
    raw = body("rbac.authorization.k8s.io/v1", "ClusterRole", text(1, text(1, name)) + text(3, text(1, labels)))
    rule = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}

    answers = [
        api.client.post(place, content=raw, headers=PROTOBUF),
        api.client.post(place, json={"metadata": {"name": name}, "aggregationRule": rule}),
    ]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert answers[0].json()["message"] == answers[1].json()["message"]
    assert "aggregationRule: Forbidden: roles are not put together of others here" in answers[0].json()["message"]
    assert api.client.get(f"{place}/{name}").status_code == 404


@pytest.mark.parametrize("size", range(4, 60, 3))
def test_a_body_that_is_cut_off_is_refused_or_read_as_far_as_it_says(size):
    whole = body("v1", "ConfigMap", META + text(2, text(1, "key") + text(2, "value" * 9)))[:-4]

    with pytest.raises((BadRequest, UnsupportedMediaType)):
        protobuf.read(whole[: min(size, len(whole) - 1)])


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"k8s\x00" + b"\xff" * 12,
        body("v1", "Namespace", number(1, 5)),
        body("v1", "Namespace", text(1, number(1, 5))),
        body("v1", "Namespace", text(1, text(7, "x"))),
        body("v1", "Namespace", text(1, text(1, b"\xff\xfe"))),
        body("v1", "Namespace", text(1, text(8, number(1, 1 << 62)))),
        body("v1", "Namespace", text(1, text(17, text(7, text(1, "{"))))),
        body("v1", "Namespace", b"\x0b"),
    ],
)
def test_nonsense_is_a_bad_request(raw):
    with pytest.raises(BadRequest, match="as protobuf"):
        protobuf.read(raw)


def test_a_kind_that_is_not_sent_so_is_refused_with_what_is_taken():
    with pytest.raises(UnsupportedMediaType, match="application/json"):
        protobuf.read(body("runwright.dev/v1alpha1", "Job", b""))


def test_a_namespace_sent_as_protobuf_is_created(api):
    name = f"{api.space}-p"
    raw = body("v1", "Namespace", text(1, text(1, name)))
    answer = api.client.post("/api/v1/namespaces", content=raw, headers=PROTOBUF)

    assert (answer.status_code, answer.headers["content-type"]) == (201, "application/json")
    assert answer.json()["metadata"]["name"] == name


def test_delete_options_sent_as_protobuf_are_heard(api):
    name = f"{api.space}-d"
    api.client.post("/api/v1/namespaces", json={"metadata": {"name": name}})
    options = body("v1", "DeleteOptions", text(2, text(1, "another-uid")))
    answer = api.client.request("DELETE", f"/api/v1/namespaces/{name}", content=options, headers=PROTOBUF)

    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")


def test_quantities_and_classes_are_read():
    hard = text(1, text(1, "pods") + text(2, text(1, "3"))) + text(1, text(1, "cpu") + text(2, text(1, "500m")))
    class_ = number(2, -5) + number(3, 1) + text(4, "for some") + text(5, "Never")

    assert protobuf.read(body("v1", "ResourceQuota", text(2, hard)))["spec"] == {"hard": {"pods": "3", "cpu": "500m"}}
    assert protobuf.read(body("scheduling.k8s.io/v1", "PriorityClass", class_)) == {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "value": -5,
        "globalDefault": True,
        "description": "for some",
        "preemptionPolicy": "Never",
    }
