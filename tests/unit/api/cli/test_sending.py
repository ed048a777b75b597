"""Files that are sent ahead of their job: on after breaks, no byte twice, nothing that changed meanwhile."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from api.cli import packing, sending
from api.cli.uploads import BadUpload, Local
from api.client import Client
from api.client_transport import Address
from api.errors import RequestTimeout
from support.counting_way import Counting

SIZE = 3_000_000


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


def a_document(*paths):
    files = [{"path": path.name, "upload": Local(path), "mode": 0o644} for path in paths]
    return {"kind": "Job", "spec": {"command": ["true"], "files": [{"path": "small", "text": "x"}, *files]}}


def digest_of(path):
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.fixture
def way(live, tmp_path_factory):
    way = Counting(live.socket, tmp_path_factory.mktemp("w") / "s")
    yield way
    way.close()


@pytest.fixture
def client(way):
    with Client(Address.of_socket(Path(way.path))) as client:
        yield client


def test_the_job_gets_the_digest_of_what_was_sent(client, file):
    sent = sending.send(client, "default", a_document(file))

    assert sent["spec"]["files"] == [
        {"path": "small", "text": "x"}, {"path": "model.bin", "upload": digest_of(file), "mode": 0o644},
    ]  # fmt: skip


def test_a_file_that_is_wanted_twice_or_again_is_sent_once(client, way, file):
    sending.send(client, "default", a_document(file, file))
    sending.send(client, "default", a_document(file))

    assert SIZE < way.sent < SIZE + 10_000


def test_what_broke_off_goes_on_where_it_was(client, way, file, capsys):
    way.cuts = [1_000_000, 1_500_000]

    sent = sending.send(client, "default", a_document(file))

    assert sent["spec"]["files"][1]["upload"] == digest_of(file)
    assert SIZE < way.sent < 2 * SIZE
    assert "trying again" in capsys.readouterr().err


def test_a_sender_who_was_silent_for_too_long_goes_on(client, file, monkeypatch, capsys):
    real, said = Client.upload, [RequestTimeout("nothing more of it came within 30 s")]

    def uploading(self, *arguments):
        if said:
            raise said.pop()
        return real(self, *arguments)

    monkeypatch.setattr(Client, "upload", uploading)

    assert sending.send(client, "default", a_document(file))["spec"]["files"][1]["upload"] == digest_of(file)
    assert "nothing more of it came within 30 s; trying again" in capsys.readouterr().err


def test_a_file_that_changes_while_it_is_sent_is_refused(client, file, monkeypatch):
    real = Client.upload

    def changing(self, *arguments):
        state = real(self, *arguments)
        file.write_bytes(b"other")
        return state

    monkeypatch.setattr(Client, "upload", changing)

    with pytest.raises(BadUpload, match="it changed while it was sent"):
        sending.send(client, "default", a_document(file))


def test_a_file_that_is_changed_after_it_was_sent_is_sent_again(client, file):
    sending.send(client, "default", a_document(file))
    file.write_bytes(os.urandom(SIZE))

    assert sending.send(client, "default", a_document(file))["spec"]["files"][1]["upload"] == digest_of(file)


@pytest.fixture
def small(tmp_path):
    """1,200 files of 1 KiB that no other test has, ten of them with one content."""
    salt = os.urandom(4).hex()
    paths = [tmp_path / f"{number:04}" for number in range(1200)]
    for number, path in enumerate(paths):
        path.write_bytes(f"{max(number, 9):08}{salt}".encode() * 64)
    return paths


def test_small_files_go_many_at_a_time_and_one_content_once(client, way, live, small):
    sent = sending.send(client, "default", a_document(*small))

    assert [file["upload"] for file in sent["spec"]["files"][1:]] == [digest_of(path) for path in small]
    assert 1191 * 1024 < way.sent < 1191 * 1024 + 250_000


def test_of_small_files_what_was_sent_before_a_break_is_not_sent_again(client, way, small, capsys):
    way.cuts = [1_300_000]

    sending.send(client, "default", a_document(*small))
    first = way.sent
    sending.send(client, "default", a_document(*small))

    assert first < 1191 * 1024 + 500_000
    assert way.sent - first < 110_000  # The question what is missing.
    assert "sending small files" in capsys.readouterr().err


def test_a_small_file_that_changes_meanwhile_is_refused(client, small, monkeypatch):
    real = Client.missing_uploads

    def changing(self, *arguments):
        small[50].write_bytes(b"other")
        return real(self, *arguments)

    monkeypatch.setattr(Client, "missing_uploads", changing)

    with pytest.raises(BadUpload, match="0050: it changed while it was sent"):
        sending.send(client, "default", a_document(*small))


@pytest.mark.parametrize("size", [0, packing.MOST_BYTES, packing.MOST_BYTES + 1])
def test_small_and_large_files_arrive_alike(client, live, tmp_path, size):
    (tmp_path / "a").write_bytes(os.urandom(size))

    sent = sending.send(client, "default", a_document(tmp_path / "a"))

    assert sent["spec"]["files"][1]["upload"] == digest_of(tmp_path / "a")
    assert client.missing_uploads("default", [digest_of(tmp_path / "a")]) == set()


def test_a_job_without_large_files_is_sent_as_it_is(client, way):
    document = a_document()

    assert (sending.send(client, "default", document), way.sent) == (document, 0)


def test_rnx_says_what_is_wrong_with_a_file_and_makes_no_job(rnx, live, file):
    file.unlink()
    file.symlink_to("nowhere")

    said = rnx("job", "run", f"--upload={file}", "true")

    assert (said.code, "No such file" in said.err) == (2, True)


def test_a_dry_run_names_a_file_by_its_digest_and_sends_nothing(rnx, tmp_path):
    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * 2_000_000)

    result = rnx("job", "run", "--dry-run", "--json", f"--upload={path}", "true")

    (file,) = json.loads(result.out)["spec"]["files"]
    assert file["upload"] == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
