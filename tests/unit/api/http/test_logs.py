import json
import threading

import pytest

from support.http import client_of
from support.objects import a_job

MERGE = {"content-type": "application/merge-patch+json"}


@pytest.fixture
def run(api):
    api.client.post(api.jobs(), json=a_job())

    def run(**fields):
        body = json.dumps({"status": {"runs": [{"attempt": 1, "state": "Running", **fields}]}})
        assert api.client.patch(api.jobs("etl", "status"), content=body, headers=MERGE).status_code == 200

    run()
    return run


@pytest.fixture
def log_path(api, run):
    return f"/api/v1/namespaces/{api.space}/pods/etl-1/log"


def test_a_log_is_the_bytes_that_were_written(api, log_path):
    asked = []

    def read(job, attempt, options, stopped):
        asked.append((job["metadata"]["name"], attempt, options))
        yield b"one\n"
        yield b"\xff\x00two\n"

    api.above.log = read

    response = api.client.get(
        log_path,
        params={"tailLines": "5", "timestamps": "True", "sinceSeconds": "60", "limitBytes": "9", "stream": "Stderr"},
    )

    assert (response.status_code, response.content) == (200, b"one\n\xff\x00two\n")
    assert response.headers["content-type"].startswith("text/plain")
    ((name, attempt, options),) = asked
    assert (name, attempt) == ("etl", 1)
    assert (options.tail_lines, options.timestamps, options.since_seconds, options.limit_bytes) == (5, True, 60, 9)
    assert (options.stream, options.follow) == ("stderr", False)


def test_a_log_is_followed_line_by_line(api, log_path):
    next_line = threading.Event()

    def read(job, attempt, options, stopped):
        assert options.follow
        yield b"one\n"
        while not next_line.wait(0.01):
            yield b""
        yield b"two\n"

    api.above.log = read
    with client_of(api.socket) as client, client.stream("GET", log_path, params={"follow": "1"}) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "one"
        next_line.set()
        assert list(lines) == ["two"]


def test_a_reader_that_goes_away_stops_the_reading(api, log_path):
    stopped_reading = threading.Event()

    def read(job, attempt, options, stopped):
        try:
            yield b"one\n"
            while not stopped():
                yield b""
        finally:
            stopped_reading.set()

    api.above.log = read
    with client_of(api.socket) as client, client.stream("GET", log_path, params={"follow": "1"}) as stream:
        assert next(stream.iter_lines()) == "one"

    assert stopped_reading.wait(10)


def test_a_run_that_left_no_log_is_not_found(api, log_path):
    api.above.log = None

    assert api.client.get(log_path).status_code == 404


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"container": "web"}, "container web is not valid for pod etl-1"),
        ({"previous": "true"}, 'previous terminated container "job" in pod "etl-1" not found'),
        ({"tailLines": "-1"}, "tailLines"),
        ({"sinceSeconds": "1", "sinceTime": "2026-01-02T03:04:05Z"}, "use one of them"),
        ({"sinceTime": "yesterday"}, "must be RFC 3339"),
        ({"limitBytes": "0"}, "limitBytes must be greater than 0"),
        ({"stream": "Stdin"}, "use All, Stdout or Stderr"),
        ({"follow": "perhaps"}, "use true or false"),
    ],
)
def test_what_cannot_be_read_is_a_bad_request(api, log_path, query, why):
    response = api.client.get(log_path, params=query)

    assert (response.status_code, response.json()["reason"]) == (400, "BadRequest")
    assert why in response.json()["message"]


def test_a_run_that_has_not_started_says_so(api, run, log_path):
    run(state="Pending", reason="RuntimeNotReady")

    assert (
        api.client.get(log_path).json()["message"]
        == 'container "job" in pod "etl-1" is waiting to start: RuntimeNotReady'
    )


@pytest.mark.parametrize("pod", ["etl-2", "none-1", "etl", "etl-01"])
def test_the_log_of_a_pod_that_is_none_is_not_found(api, run, pod):
    response = api.client.get(f"/api/v1/namespaces/{api.space}/pods/{pod}/log")

    assert (response.status_code, response.json()["message"]) == (404, f'pods "{pod}" not found')


def test_pods_are_read_but_not_written(api, run):
    path = f"/api/v1/namespaces/{api.space}/pods"

    assert [pod["metadata"]["name"] for pod in api.client.get(path).json()["items"]] == ["etl-1"]
    assert api.client.get(f"{path}/etl-1").json()["status"]["phase"] == "Running"
    assert api.client.put(f"{path}/etl-1", json={}).status_code == 405
