"""What was kept of runs, over HTTP: lists, contents, parts of them."""

import hashlib
import json

import pytest

from support.objects import a_job

CONTENT = bytes(range(256)) * 5000
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture
def of_job(api):
    """The path of the artifacts of a job that left two files."""
    uid = api.client.post(api.jobs(), json=a_job()).json()["metadata"]["uid"]
    directory = api.store_directory / "artifacts" / uid / "1"
    directory.mkdir(parents=True)
    (directory / "0").write_bytes(CONTENT)
    (directory / "1").touch()
    empty = f"sha256:{hashlib.sha256().hexdigest()}"
    files = [
        {"path": "out/a.csv", "file": 0, "sizeBytes": len(CONTENT), "digest": DIGEST, "mode": 0o600},
        {"path": "b", "file": 1, "sizeBytes": 0, "digest": empty, "mode": 0o644},
    ]
    (directory / "index.json").write_text(json.dumps({"version": 1, "files": files, "leftOut": {"it is no file": 1}}))
    return api.jobs("etl", "artifacts")


def test_the_list_has_all_or_what_matches(api, of_job):
    listed = api.client.get(of_job).json()
    matching = api.client.get(of_job, params={"match": ["**/*.csv", "none"]}).json()

    assert (listed["attempt"], listed["leftOut"]) == (1, "1 (it is no file)")
    assert [item["path"] for item in listed["items"]] == ["out/a.csv", "b"]
    assert [item["path"] for item in matching["items"]] == ["out/a.csv"]


def test_a_job_that_left_nothing_has_an_empty_list(api):
    api.client.post(api.jobs(), json=a_job())

    assert api.client.get(api.jobs("etl", "artifacts")).json()["items"] == []


def get(api, of_job, path="out/a.csv", **headers):
    return api.client.get(
        of_job, params={"path": path}, headers={name.replace("_", "-"): v for name, v in headers.items()}
    )


def test_a_content_is_sent_whole_with_its_digest(api, of_job):
    answer = get(api, of_job)

    assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, CONTENT, f'"{DIGEST}"')
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert get(api, of_job, "b").content == b""


@pytest.mark.parametrize(
    ("said", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=1000000-", 1_000_000, 1_279_999), ("bytes=-5", 1_279_995, 1_279_999),
     ("bytes=5-99999999999", 5, 1_279_999)],
)  # fmt: skip
def test_a_part_is_sent_as_it_was_asked_for(api, of_job, said, first, last):
    answer = get(api, of_job, range=said)

    assert (answer.status_code, answer.content) == (206, CONTENT[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"


def test_a_part_of_another_content_is_all_of_this_one(api, of_job):
    assert get(api, of_job, range="bytes=5-", if_range='"sha256:other"').content == CONTENT
    assert get(api, of_job, range="bytes=5-", if_range=f'"{DIGEST}"').content == CONTENT[5:]


@pytest.mark.parametrize("said", ["bytes=", "bytes=-", "bytes=9-5", "bytes=1280000-", "lines=1-2", "bytes=0-1,5-6"])
def test_a_range_that_makes_no_sense_is_refused(api, of_job, said):
    assert get(api, of_job, range=said).status_code == 400


@pytest.mark.parametrize("path", ["out", "../b", "/work/b", "", "out/a.csv/"])
def test_what_was_not_kept_is_not_found(api, of_job, path):
    answer = get(api, of_job, path)

    assert (answer.status_code, "no such file was kept of it" in answer.json()["message"]) == (404, True)


def test_a_pattern_that_is_none_is_refused(api, of_job):
    answer = api.client.get(of_job, params={"match": "../x"})

    assert (answer.status_code, "must be relative to /work" in answer.json()["message"]) == (400, True)
    assert api.client.get(of_job, params={"match": ["a"] * 1000}).status_code == 400


def test_nothing_is_put_or_deleted_there(api, of_job):
    assert {api.client.request(verb, of_job).status_code for verb in ("PUT", "POST", "DELETE")} <= {404, 405}
