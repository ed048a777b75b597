"""Downloads that go on where they broke, and servers that are given up."""

import os
import time
from dataclasses import replace

import pytest

from controller.engine.errors import TransientError
from controller.registry import fetch, resume
from controller.registry.resume import Asked, Patience
from support.hand_clock import HandClock
from support.hostile_server import Exchange, hostile_server

DATA = os.urandom(300_000)
HASTY = Patience(silence_seconds=0.3, window_seconds=0.4, window_bytes=10_000, attempts=3, pause_seconds=0.001)


@pytest.fixture
def client():
    with fetch.new_client() as client:
        yield client


def downloaded(client, url: str, patience: Patience = HASTY, **fields) -> bytes:
    with resume.open_resuming(Asked(client, url, patience=patience, **fields)) as stream:
        found = bytearray()
        while piece := stream.body.read(100_000):
            found += piece
        return bytes(found)


def failure(client, url: str, patience: Patience = HASTY) -> TransientError:
    with pytest.raises(TransientError) as caught:
        downloaded(client, url, patience)
    return caught.value


def test_a_broken_download_goes_on_at_its_next_byte_and_only_if_it_is_the_same_file(client):
    with hostile_server(
        lambda it: it.serve_range(DATA, upto=None if it.number == 2 else 100_000 * (it.number + 1))
    ) as server:
        assert downloaded(client, server.url) == DATA

    assert server.ranges == ["", "bytes=100000-", "bytes=200000-"]
    assert [request.headers.get("if-range") for request in server.requests] == [None, '"1"', '"1"']


def test_a_weak_tag_is_no_condition(client):
    with hostile_server(lambda it: it.serve_range(DATA, etag='W/"1"', upto=None if it.number else 1000)) as server:
        assert downloaded(client, server.url) == DATA

    assert "if-range" not in server.requests[1].headers


def test_a_server_that_knows_no_ranges_is_read_past_what_came_before(client):
    def behave(it: Exchange) -> None:
        it.head(200, len(DATA))
        it.send(DATA if it.number else DATA[:50_000])

    with hostile_server(behave) as server:
        assert downloaded(client, server.url) == DATA
    assert len(server.requests) == 2


def test_a_body_of_unknown_length_that_breaks_is_mended_too(client):
    def behave(it: Exchange) -> None:
        if it.number:
            return it.serve_range(DATA)
        it.head(200, Transfer_Encoding="chunked")
        it.send(b"3e8\r\n" + DATA[:1000] + b"\r\n")

    with hostile_server(behave) as server:
        assert downloaded(client, server.url) == DATA
    assert server.ranges == ["", "bytes=1000-"]


def test_every_break_is_told(client):
    told = []
    with (
        hostile_server(lambda it: it.serve_range(DATA, upto=None if it.number == 2 else 1000)) as server,
        resume.open_resuming(Asked(client, server.url, patience=HASTY), lambda: told.append(1)) as stream,
    ):
        while stream.body.read(1 << 20):
            pass
    assert len(told) == 2


def test_it_is_given_up_after_so_many_breaks_in_a_row(client):
    with hostile_server(lambda it: it.serve_range(DATA, upto=1000)) as server:
        error = failure(client, server.url)

    assert error.reason == "Unreachable"
    assert "1000 bytes had come, 3 more tries gave no more" in error.message
    assert len(server.requests) == 1 + HASTY.attempts


def test_tries_that_bring_a_byte_each_are_in_a_row_and_told_as_what_they_brought(client):
    with hostile_server(lambda it: it.serve_range(DATA, upto=max(it.range_start, 999) + 1)) as server:
        error = failure(client, server.url)

    assert error.message.endswith(
        f"the connection broke after 1003 of {len(DATA)} bytes; "
        "1000 bytes had come, 3 more tries gave only 3 bytes more"
    )
    assert len(server.requests) == 1 + HASTY.attempts


def test_tries_with_progress_end_with_the_time_for_all_of_them(client):
    with hostile_server(lambda it: it.serve_range(DATA, upto=it.range_start + HASTY.window_bytes)) as server:
        error = failure(client, server.url, replace(HASTY, total_seconds=0))

    assert "10000 bytes had come in 0 s of waiting" in error.message
    assert len(server.requests) == 1


def test_a_server_that_cuts_after_some_of_it_each_time_gives_all_of_it(client):
    with hostile_server(lambda it: it.serve_range(DATA, upto=it.range_start + HASTY.window_bytes)) as server:
        assert downloaded(client, server.url) == DATA
    assert len(server.requests) == len(DATA) // HASTY.window_bytes


def test_breaks_with_progress_between_them_are_borne_for_longer(client):
    data = os.urandom(6 << 20)
    with hostile_server(lambda it: it.serve_range(data, upto=it.range_start + (1 << 20) + 1)) as server:
        assert downloaded(client, server.url) == data
    assert len(server.requests) > 1 + HASTY.attempts


@pytest.mark.parametrize(("status", "reason"), [(404, "NotFound"), (403, "Refused")])
def test_what_is_gone_when_it_is_asked_for_again_is_not_asked_for_any_more(client, status: int, reason: str):
    def behave(it: Exchange) -> None:
        it.answer(b"", status) if it.number else it.serve_range(DATA, upto=1000)

    with hostile_server(behave) as server:
        assert failure(client, server.url).reason == reason
    assert len(server.requests) == 2


def test_a_server_that_comes_back_is_waited_for(client):
    def behave(it: Exchange) -> None:
        it.answer(b"", 503) if it.number in (1, 2) else it.serve_range(DATA, upto=None if it.number else 1000)

    with hostile_server(behave) as server:
        assert downloaded(client, server.url) == DATA


def test_a_file_of_another_length_is_another_file(client):
    with hostile_server(
        lambda it: it.serve_range(DATA + b"more" * it.number, upto=None if it.number else 1000)
    ) as server:
        error = failure(client, server.url)

    assert error.reason == "SizeMismatch"
    assert "it changed while it was downloaded" in error.message


@pytest.mark.parametrize("said", ["bytes 0-9/300000", "pages 1-2/3", "", "bytes 5000-299999/300000"])
def test_another_part_than_the_one_asked_for_is_not_taken(client, said: str):
    def behave(it: Exchange) -> None:
        if not it.number:
            return it.serve_range(DATA, upto=1000)
        it.head(206, 10, Content_Range=said)
        it.send(b"x" * 10)

    with hostile_server(behave) as server:
        assert "another part than the one that it was asked for" in failure(client, server.url).message


def test_a_server_that_stalls_is_given_up(client):
    def behave(it: Exchange) -> None:
        it.head(200, len(DATA))
        it.send(DATA[:1000])
        it.stall()

    started = time.monotonic()
    with hostile_server(behave) as server:
        assert "nothing came for 0.3 s" in failure(client, server.url).message
    assert time.monotonic() - started < 15


def test_a_server_that_trickles_is_given_up_though_it_is_never_silent(client):
    def behave(it: Exchange) -> None:
        it.head(200, len(DATA))
        it.trickle(DATA)

    with hostile_server(behave) as server:
        assert "bytes came in 0.4" in failure(client, server.url).message


def test_headers_that_trickle_in_are_not_waited_for(client):
    def behave(it: Exchange) -> None:
        it.raw(b"HTTP/1.1 200 OK\r\nX-Long: ")
        it.trickle(b"x" * 10_000)

    started = time.monotonic()
    with hostile_server(behave) as server:
        error = failure(client, server.url)

    assert (error.reason, "no answer in 0.3 s" in error.message) == ("Unreachable", True)
    assert time.monotonic() - started < 10


def test_the_time_that_we_take_ourselves_is_not_the_servers(client):
    clock, found = HandClock(), b""
    with (
        hostile_server(lambda it: it.serve_range(DATA)) as server,
        resume.open_resuming(Asked(client, server.url, patience=HASTY, clock=clock)) as stream,
    ):
        while piece := stream.body.read(1000):
            clock.advance(100)
            found += piece

    assert (found == DATA, len(server.requests)) == (True, 1)


def test_a_local_file_is_read_as_it_is(client, tmp_path):
    (tmp_path / "a").write_bytes(DATA)

    assert downloaded(client, f"file://{tmp_path}/a") == DATA
