"""What was kept of runs, over HTTP: lists, contents, parts of them."""

import hashlib
import json
import shutil

import pytest

from api.objects import continue_tokens
from support.objects import a_job

CONTENT = bytes(range(256)) * 5000
MERGE = {"content-type": "application/merge-patch+json"}
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
    assert listed["items"][0] == {"path": "out/a.csv", "sizeBytes": len(CONTENT), "digest": DIGEST, "mode": 0o600}
    assert [item["path"] for item in matching["items"]] == ["out/a.csv"]


@pytest.fixture
def leave(api):
    """Say that a run of a job left empty files of these names; return the directory of it."""

    def leaving(job, *names, attempt=1):
        directory = api.store_directory / "artifacts" / job["metadata"]["uid"] / str(attempt)
        directory.mkdir(parents=True)
        empty = f"sha256:{hashlib.sha256().hexdigest()}"
        files = [{"path": name, "file": 0, "sizeBytes": 0, "digest": empty, "mode": 0o644} for name in names]
        (directory / "index.json").write_text(json.dumps({"version": 1, "files": files, "leftOut": {}}))
        return directory

    return leaving


def paths_in(listing):
    return [item["path"] for item in listing["items"]]


def test_a_list_comes_in_pages_that_say_how_to_go_on_and_how_many_come(api, leave):
    leave(api.client.post(api.jobs(), json=a_job()).json(), "a", "b", "c", "d", "e")
    place, pages, query = api.jobs("etl", "artifacts"), [], {"limit": "2"}

    while not pages or "continue" in pages[-1]["metadata"]:
        pages.append(api.client.get(place, params=query).json())
        query["continue"] = pages[-1]["metadata"].get("continue", "")

    assert [paths_in(page) for page in pages] == [["a", "b"], ["c", "d"], ["e"]]
    assert [page["metadata"].get("remainingItemCount") for page in pages] == [3, 1, None]
    assert {page["attempt"] for page in pages} == {1}
    for everything in ("0", "-1", "5"):
        assert api.client.get(place, params={"limit": everything}).json()["metadata"] == {}


def test_how_many_come_is_not_told_of_those_that_match_but_whether_any_do(api, leave):
    leave(api.client.post(api.jobs(), json=a_job()).json(), "a", "b", "a2", "b2", "b3")
    place, query = api.jobs("etl", "artifacts"), {"match": "a*", "limit": "1"}

    first = api.client.get(place, params=query).json()
    second = api.client.get(place, params={**query, "continue": first["metadata"].pop("continue")}).json()

    assert (paths_in(first), first["metadata"]) == (["a"], {})
    assert (paths_in(second), second["metadata"]) == (["a2"], {})


def test_pages_are_all_of_the_run_that_the_first_was_of(api, leave):
    job = api.client.post(api.jobs(), json=a_job()).json()
    leave(job, "a", "b")
    place = api.jobs("etl", "artifacts")
    token = api.client.get(place, params={"limit": "1"}).json()["metadata"]["continue"]
    leave(job, "x", "y", attempt=2)

    second = api.client.get(place, params={"limit": "1", "continue": token}).json()
    other = api.client.get(place, params={"limit": "1", "continue": token, "attempt": "2"})

    assert (second["attempt"], paths_in(second)) == (1, ["b"])
    assert (other.status_code, "is of run 1, not 2" in other.json()["message"]) == (400, True)


@pytest.mark.parametrize("what", ["the run's files", "the job"])
def test_a_page_of_what_is_gone_is_expired(api, leave, what):
    job = api.client.post(api.jobs(), json=a_job()).json()
    directory, place = leave(job, "a", "b"), api.jobs("etl", "artifacts")
    token = api.client.get(place, params={"limit": "1"}).json()["metadata"]["continue"]

    if what == "the job":  # And another has its name.
        api.client.patch(api.jobs("etl"), json={"metadata": {"finalizers": None}}, headers=MERGE)
        api.client.delete(api.jobs("etl"))
        leave(api.client.post(api.jobs(), json=a_job()).json(), "a", "b")
    else:
        shutil.rmtree(directory)
    answer = api.client.get(place, params={"continue": token})

    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")
    assert "list again without continue" in answer.json()["message"]


@pytest.mark.parametrize(
    "facts",
    [{}, {"uid": "u", "attempt": 0, "looked_at": 1}, {"uid": "u", "attempt": "1", "looked_at": 1},
     {"uid": 7, "attempt": 1, "looked_at": 1}, {"uid": "u", "attempt": 1, "looked_at": -1}, {"rv": 1, "ns": "", "name": ""}],
)  # fmt: skip
def test_a_token_of_another_list_is_refused(api, of_job, facts):
    answer = api.client.get(of_job, params={"continue": continue_tokens.write(facts)})

    assert (answer.status_code, "continue key is not valid" in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize("said", ["many", "1.5", "١"])
def test_a_limit_that_is_no_number_is_refused(api, of_job, said):
    assert api.client.get(of_job, params={"limit": said}).status_code == 400


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
