"""Uploads over HTTP: in parts, gone on with, refused in words."""

import hashlib
import socket

import pytest

from api.upload_packs import Content, pack

CONTENT = bytes(range(256)) * 8192
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


def path_of(api, name="a-file", namespace=""):
    return f"/apis/runwright.dev/v1alpha1/namespaces/{namespace or api.space}/uploads/{name}"


def put(api, content, said="", name="a-file", **place):
    headers = {"content-range": f"bytes {said}"} if said else {}
    return api.client.put(path_of(api, name, **place), content=content, headers=headers)


@pytest.fixture(autouse=True)
def own_names(api, request):
    """Tests share the server: each has names of its own."""
    api.name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]


def test_a_content_that_is_sent_at_once_is_there_by_its_digest(api):
    answer = put(api, CONTENT, name=api.name)

    assert (answer.status_code, answer.json()["status"]) == (200, {"receivedBytes": len(CONTENT), "digest": DIGEST})
    assert api.client.get(path_of(api, DIGEST)).json()["status"]["digest"] == DIGEST


def test_parts_are_put_together_in_order(api):
    size = len(CONTENT)
    asked = put(api, b"", f"*/{size}", name=api.name).json()["status"]
    first = put(api, CONTENT[:1000], f"0-999/{size}", name=api.name).json()["status"]
    between = api.client.get(path_of(api, api.name)).json()["status"]
    last = put(api, CONTENT[1000:], f"1000-{size - 1}/{size}", name=api.name).json()["status"]

    assert (asked, first, between) == ({"receivedBytes": 0}, {"receivedBytes": 1000}, {"receivedBytes": 1000})
    assert last == {"receivedBytes": size, "digest": DIGEST}
    assert put(api, b"", f"*/{size}", name=api.name).json()["status"] == last


def test_what_had_come_when_the_client_broke_off_is_kept(api):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(api.socket))
        head = f"PUT {path_of(api, api.name)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
        connection.sendall(head.encode() + CONTENT[:700_000])
    while (asked := put(api, b"", f"*/{len(CONTENT)}", name=api.name)).status_code == 409:
        pass  # The server is still at it.
    have = asked.json()["status"]["receivedBytes"]

    rest = put(api, CONTENT[have:], f"{have}-{len(CONTENT) - 1}/{len(CONTENT)}", name=api.name)

    assert 0 < have <= 700_000
    assert rest.json()["status"]["digest"] == DIGEST


def test_who_goes_on_elsewhere_is_told_where_it_is(api):
    put(api, b"x" * 10, "0-9/100", name=api.name)

    answer = put(api, b"x", "11-11/100", name=api.name)

    assert answer.status_code == 409
    assert "10 bytes of it are here: go on there" in answer.json()["message"]


@pytest.mark.invariant("U1")
def test_a_digest_is_nothing_in_a_namespace_that_has_not_sent_the_content(api):
    put(api, CONTENT, name=api.name)
    api.client.post("/api/v1/namespaces", json={"metadata": {"name": "curious"}})

    assert api.client.get(path_of(api, DIGEST, namespace="curious")).status_code == 404
    assert put(api, b"", f"*/{len(CONTENT)}", name=DIGEST, namespace="curious").json()["status"] == {"receivedBytes": 0}


def test_a_content_that_is_another_than_it_was_to_be_is_refused(api):
    answer = put(api, b"other", name=DIGEST.replace("0", "1"))

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("5-4/10", "cannot read Content-Range"), ("0-10/10", "cannot read Content-Range"),
        ("x", "cannot read Content-Range"), ("0-4/10", "Content-Range is of 5 bytes, the body of 1"),
        (f"0-0/{10**30}", "cannot read Content-Range"),
    ],
)  # fmt: skip
def test_a_part_that_makes_no_sense_is_refused(api, said, why):
    answer = put(api, b"x", said, name=api.name)

    assert (answer.status_code, why in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize("name", ["-a", "a.b", "a" * 101, "sha256:12", "sha256:" + "A" * 64, "%2e%2e", "..%2fx"])
def test_an_upload_has_a_plain_name(api, name):
    assert put(api, b"x", name=name).status_code in (400, 404)


def test_a_body_of_unknown_size_is_refused(api):
    answer = api.client.put(path_of(api, api.name), content=iter([b"x"]))

    assert (answer.status_code, "size is not known" in answer.json()["message"]) == (400, True)


def test_nothing_is_sent_to_a_namespace_that_is_not_there(api):
    assert put(api, b"x", namespace="nowhere").status_code == 404


def test_what_is_not_there_is_not_found(api):
    assert api.client.get(path_of(api, api.name)).status_code == 404
    assert api.client.get(path_of(api, "sha256:" + "0" * 64)).status_code == 404


def test_an_upload_can_neither_be_deleted_nor_patched(api):
    put(api, b"x", name=api.name)

    assert {api.client.request(verb, path_of(api, api.name)).status_code for verb in ("DELETE", "PATCH", "POST")} <= {
        404,
        405,
    }


def post(api, body, namespace="", **headers):
    path = f"/apis/runwright.dev/v1alpha1/namespaces/{namespace or api.space}/uploads"
    return api.client.post(path, **({"json": body} if isinstance(body, dict) else {"content": body}), headers=headers)


PACK = {"content-type": "application/vnd.runwright.contents"}


def test_a_pack_of_contents_is_taken_and_missing_no_more(api):
    contents = [Content(f"sha256:{hashlib.sha256(body).hexdigest()}", body) for body in (b"p1", b"p2")]
    other = "sha256:" + "1" * 64
    asked = {"digests": [each.digest for each in contents] + [other]}
    before = post(api, asked).json()["status"]

    taken = post(api, pack(contents), **PACK).json()["status"]

    assert before == {"missing": asked["digests"]}
    assert taken == {"contents": 2, "receivedBytes": 4}
    assert post(api, asked).json()["status"] == {"missing": [other]}


@pytest.mark.invariant("U1")
def test_what_a_namespace_has_of_a_pack_another_has_not(api):
    content = Content(f"sha256:{hashlib.sha256(b'ours').hexdigest()}", b"ours")
    post(api, pack([content]), **PACK)
    api.client.post("/api/v1/namespaces", json={"metadata": {"name": "nosy"}})

    said = post(api, {"digests": [content.digest]}, namespace="nosy").json()

    assert said["status"] == {"missing": [content.digest]}


@pytest.mark.parametrize(
    ("body", "headers", "code", "why"),
    [
        (b"what", PACK, 400, "byte 0 does not begin a line"),
        (b"sha256:" + b"0" * 64 + b" 9\nshort", PACK, 400, "its last content lacks 4 bytes"),
        (b"sha256:" + b"0" * 64 + b" 5\nother", PACK, 422, "cannot keep content 0 of the pack"),
        ((b"sha256:" + b"0" * 64 + b" 0\n") * 1001, PACK, 400, "more than 1000 contents"),
        ({"digests": "x"}, {}, 400, "cannot read the digests"),
        ({"digests": ["x"]}, {}, 400, "cannot read the digest 'x'"),
        ({"digests": [{}]}, {}, 400, "cannot read the digest '{}'"),
        ({"digests": [""]}, {}, 400, "cannot read the digest ''"),
        ({"digests": ["x"] * 5001}, {}, 400, "with 5000 at most"),
    ],
)
def test_a_body_that_is_no_pack_and_no_question_is_refused(api, body, headers, code, why):
    answer = post(api, body, **headers)

    assert (answer.status_code, why in answer.json()["message"]) == (code, True)


def test_no_pack_is_taken_by_a_namespace_that_is_not_there(api):
    assert post(api, pack([]), namespace="nowhere", **PACK).status_code == 404
