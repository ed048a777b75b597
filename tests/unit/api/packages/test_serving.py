"""A registry over HTTP: what it names and nothing else, and cheap to ask again."""

import hashlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.packages import packing, registry_json, serving, signing
from api.packages.findings import Refused
from api.packages.serving import RegistryServer
from support.packages import a_tree

ARCHIVE = "/tool-1.0.0.tar.gz"


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("registry")
    signing.generate(place / "key")
    packed = packing.pack_directory(a_tree(place), place)
    registry_json.publish(place / "r", packed, "2026-01-01T00:00:00Z", signing.private_key(place / "key"))
    (place / "r/other.tar.gz").write_bytes(b"secret")
    (place / "outside").write_bytes(b"secret")
    os.symlink(place / "outside", place / "r/link.tar.gz")
    (place / "r/sub").mkdir()
    return place / "r"


@pytest.fixture(scope="module")
def server(directory) -> Iterator[RegistryServer]:
    with RegistryServer(directory, "127.0.0.1", 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


class Answer:
    def __init__(self, server: RegistryServer, path: str, method: str = "GET", **headers: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        self.status, self.headers, self.body = response.status, response.headers, response.read()
        connection.close()


def test_the_registry_its_signature_and_its_archives_are_served(server, directory):
    for name in ("registry.json", "registry.json.sig", ARCHIVE[1:]):
        answer = Answer(server, f"/{name}")
        assert (answer.status, answer.body) == (200, (directory / name).read_bytes())
    assert server.url.endswith("/registry.json")


@pytest.mark.parametrize(
    "path",
    [
        "/", "/other.tar.gz", "/.registry.lock", "/../outside", "/%2e%2e/outside", "/sub/../registry.json",
        "/registry.json/", "/registry.json%00", "/link.tar.gz", "/sub", "/etc/passwd", "/%2fetc/passwd",
    ],
)  # fmt: skip
def test_nothing_else_is_served(server, path):
    answer = Answer(server, path)

    assert answer.status == 404
    assert b"secret" not in answer.body


def test_a_link_out_of_the_directory_is_not_followed_though_the_registry_names_it(server, directory):
    body = (directory / "registry.json").read_bytes()
    document = json.loads(body)
    document["runtimes"]["tool"]["1.0.0"]["download_url"] = "link.tar.gz"
    (directory / "registry.json").write_text(json.dumps(document))
    try:
        assert Answer(server, "/link.tar.gz").status == 404
    finally:
        (directory / "registry.json").write_bytes(body)


def test_what_did_not_change_is_not_sent_again(server):
    tag = Answer(server, "/registry.json").headers["ETag"]

    answer = Answer(server, "/registry.json", If_None_Match=tag)
    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
    assert Answer(server, "/registry.json", If_None_Match='"other"').status == 200


def test_a_download_that_broke_off_goes_on(server, directory):
    whole = (directory / ARCHIVE[1:]).read_bytes()
    tag = Answer(server, ARCHIVE, "HEAD").headers["ETag"]

    rest = Answer(server, ARCHIVE, Range="bytes=100-", If_Range=tag)
    assert (rest.status, rest.body) == (206, whole[100:])
    assert rest.headers["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    assert hashlib.sha256(whole[:100] + rest.body).digest() == hashlib.sha256(whole).digest()


def test_a_part_of_what_was_replaced_meanwhile_is_the_whole(server, directory):
    answer = Answer(server, ARCHIVE, Range="bytes=100-", If_Range='"old"')

    assert (answer.status, answer.body) == (200, (directory / ARCHIVE[1:]).read_bytes())


def test_a_part_that_is_not_there_is_told(server, directory):
    size = (directory / ARCHIVE[1:]).stat().st_size
    answer = Answer(server, ARCHIVE, Range=f"bytes={size}-")

    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 501), ("PUT", 501), ("DELETE", 501)])
def test_only_reading_is_offered(server, method, status):
    answer = Answer(server, "/registry.json", method)

    assert answer.status == status
    assert method != "HEAD" or answer.body == b""


def test_a_client_that_goes_away_disturbs_nobody(server, capfd):
    with socket.create_connection(server.server_address[:2]) as gone:
        gone.sendall(b"GET /registry.json HTTP/1.1\r\n")

    assert Answer(server, "/registry.json").status == 200
    assert capfd.readouterr().err == ""


def test_a_directory_without_a_registry_is_not_served(tmp_path):
    with pytest.raises(Refused, match="registry.json: No such file"):
        RegistryServer(tmp_path, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", (0, 1)), ("bytes=5-100", (5, 5)), ("bytes=-100", (0, 10)), ("bytes=5-4", None),
        ("bytes=-", None), ("bytes=0-1,3-4", None), ("bytes=a-b", None), ("", None),
    ],
)  # fmt: skip
def test_ranges_are_read_as_the_rfc_says(header, part):
    assert serving.byte_range(header, 10) == part


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_ranges_beyond_the_end_are_refused(header):
    with pytest.raises(ValueError, match="bytes="):
        serving.byte_range(header, 10)
