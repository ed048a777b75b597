"""A run's log as server-sent events, on the real API over real log files."""

import json
import threading

import pytest

from api.http import log_events
from api.kinds import JOB
from api.ports import LogRecord
from support.api_server import a_live_api, run_status
from support.http import client_of
from support.objects import a_job

PATH = "/api/v1/namespaces/default/pods/etl-1/log"
EVENTS = {"accept": "text/event-stream"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with a_live_api(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture
def live(server):
    server.create(JOB, a_job("etl"))
    server.set_status(JOB, "etl", runs=[run_status("Running")])
    yield server
    server.clear()


@pytest.fixture
def client(live):
    with client_of(live.socket) as client:
        yield client


def end_run(live, exit_code=3):
    live.set_status(JOB, "etl", runs=[run_status("Ended", exit_code=exit_code, reason="Error")])


def parsed(text):
    """Read events as a browser does: (id, name, data)."""
    found = []
    for block in text.split("\n\n"):
        fields = [line.partition(": ") for line in block.splitlines()]
        data = [value for name, _, value in fields if name == "data"]
        if data:
            named = {name: value for name, _, value in fields}
            found.append((named["id"], named.get("event", "message"), "\n".join(data)))
    return found


def test_each_line_is_an_event_and_the_last_says_how_the_run_ended(live, client):
    live.write_log("etl", 1, "stdout one", "stderr two")
    end_run(live)

    response = client.get(PATH, headers=EVENTS)

    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache"
    events = parsed(response.text)
    assert [event[1:] for event in events[:-1]] == [("message", "one"), ("message", "two")]
    assert events[-1][:2] == ("end", "end")
    assert json.loads(events[-1][2])["exitCode"] == 3


@pytest.mark.invariant("J21")
def test_who_was_cut_off_goes_on_after_the_last_event_it_has(live, client):
    live.write_log("etl", 1, *(f"stdout {number}" for number in range(5)))
    end_run(live)
    events = parsed(client.get(PATH, headers=EVENTS).text)
    for count, (place, _, _) in enumerate(events[:-1], start=1):
        assert parsed(client.get(PATH, headers=EVENTS | {"last-event-id": place}).text) == events[count:]


def test_who_has_the_end_is_told_that_there_is_nothing_more(live, client):
    live.write_log("etl", 1, "stdout one")
    end_run(live)
    response = client.get(PATH, headers=EVENTS | {"last-event-id": "end"})
    assert (response.status_code, response.content) == (204, b"")


def test_events_come_as_they_happen_until_the_run_ends(live, client):
    live.write_log("etl", 1, "stdout one")
    with client.stream("GET", PATH, headers=EVENTS) as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("data"))
        assert next(lines) == "data: one"
        live.write_log("etl", 1, "stdout two")
        assert next(lines) == "data: two"
        end_run(live, 0)
        assert json.loads(next(lines).removeprefix("data: "))["exitCode"] == 0
        assert list(lines) == []


@pytest.mark.parametrize("again", [False, True])
def test_a_job_that_is_deleted_meanwhile_ends_its_events_without_an_exit_code(live, client, caplog, again):
    live.write_log("etl", 1, "stdout one")
    with client.stream("GET", PATH, headers=EVENTS) as stream:
        lines = (line for line in stream.iter_lines() if line.startswith(("data", "event")))
        assert next(lines) == "data: one"
        live.verbs.delete(JOB, "default", "etl")
        if again:
            live.create(JOB, a_job("etl"))
            end_run(live)
        assert list(lines) == []

    assert [record.message for record in caplog.records] == []


def test_without_following_it_ends_where_the_log_does_and_names_no_exit_code_before_the_end(live, client):
    live.write_log("etl", 1, "stdout one")
    events = parsed(client.get(PATH, headers=EVENTS, params={"follow": "false"}).text)
    assert [event[1:] for event in events] == [("message", "one")]


def test_a_quiet_log_has_a_heartbeat(live, client, monkeypatch):
    monkeypatch.setattr(log_events, "HEARTBEAT_SECONDS", 0.05)
    live.write_log("etl", 1, "stdout one")
    with client.stream("GET", PATH, headers=EVENTS) as stream:
        assert next(line for line in stream.iter_lines() if line.startswith(":")) == ": heartbeat"


def test_a_reader_that_goes_away_stops_the_reading(live, client):
    live.write_log("etl", 1, "stdout one")
    before = threading.active_count()
    with client.stream("GET", PATH, headers=EVENTS) as stream:
        assert next(stream.iter_lines()).startswith("retry: ")
    assert parsed(client.get(PATH, headers=EVENTS, params={"follow": "false"}).text)
    assert threading.active_count() <= before + 2


@pytest.mark.parametrize(("place", "why"), [("nonsense", "is no place in a log"), ("1.2.3", "is no place in a log")])
def test_an_id_that_is_none_of_ours_is_a_bad_request(live, client, place, why):
    live.write_log("etl", 1, "stdout one")
    response = client.get(PATH, headers=EVENTS | {"last-event-id": place})
    assert (response.status_code, response.json()["reason"]) == (400, "BadRequest")
    assert why in response.json()["message"]


@pytest.mark.parametrize("params", [{"limitBytes": "5"}, {"cri": "true"}])
def test_what_is_of_text_is_refused_of_events(live, client, params):
    live.write_log("etl", 1, "stdout one")
    response = client.get(PATH, headers=EVENTS, params=params)
    assert (response.status_code, response.json()["reason"]) == (400, "BadRequest")
    assert next(iter(params)) in response.json()["message"]


def test_as_cri_each_piece_says_when_it_was_and_of_which_stream(live, client):
    live.write_log("etl", 1, "stdout/P half ", "stderr two", "stdout  rest", "stdout ")
    text = client.get(PATH, params={"cri": "true"}).text
    assert [line.split(" ", 1)[1] for line in text.splitlines()] == [
        "stdout P half ", "stderr F two", "stdout F  rest", "stdout F ",
    ]  # fmt: skip
    assert client.get(PATH, params={"cri": "true", "timestamps": "true"}).text == text
    assert client.get(PATH, params={"cri": "1", "stream": "Stderr"}).text in text
    first, _, *last = text.splitlines()
    assert client.get(PATH, params={"cri": "1", "tailLines": "2"}).text.splitlines() == [first, *last]
    assert client.get(PATH).text == "half two\n rest\n\n"


def test_text_is_still_what_others_get(live, client):
    live.write_log("etl", 1, "stdout one")
    for accept in ("*/*", "application/json, */*", "text/plain"):
        response = client.get(PATH, headers={"accept": accept})
        assert (response.headers["content-type"].partition(";")[0], response.text) == ("text/plain", "one\n")


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (b"a\rb", "data: a\ndata: b\n"),
        (b"", "data: \n"),
        (b"\xff", "data: \ufffd\n"),
        (b": x", "data: : x\n"),
        (b"event: end", "data: event: end\n"),
        (b"a\r\n\rid: 9", "data: a\ndata: \ndata: id: 9\n"),
    ],
)
def test_nothing_that_a_run_prints_becomes_a_field_of_an_event(text, data):
    assert log_events.event(LogRecord("1.9", "T", text, whole=True), timestamps=False) == f"id: 1.9\n{data}\n".encode()


def test_parts_are_named_and_times_are_put_before():
    told = log_events.event(LogRecord("1.9", "2026-01-01T00:00:00Z", b"x", whole=False), timestamps=True)
    assert told == b"id: 1.9\nevent: part\ndata: 2026-01-01T00:00:00Z x\n\n"
