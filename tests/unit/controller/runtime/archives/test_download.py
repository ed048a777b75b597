"""Downloads that go on where an earlier one broke: what is asked of the server, and what becomes of spoilt parts."""

import hashlib
import os

import pytest

from controller.engine.clock import SystemClock
from controller.engine.errors import TransientError
from controller.registry import fetch
from controller.registry.parts import Parts
from controller.registry.resume import Patience
from controller.runtime.archives import download
from controller.runtime.archives.download import Archive, Received
from support.hostile_server import Exchange, hostile_server
from support.registry_fixtures import a_file, an_archive

CONTENT = os.urandom(300_000)
DATA = an_archive(a_file("data", CONTENT))
SHA = hashlib.sha256(DATA).hexdigest()
ONCE = Patience(silence_seconds=5, attempts=0, pause_seconds=0.001)


class Place:
    """A directory to unpack into, anew for each attempt, and the parts."""

    def __init__(self, directory) -> None:
        self.directory = directory
        self.parts = Parts(directory / "parts", SystemClock(), least_bytes=1000)
        self.attempts = 0
        self.told: list[int] = []

    def attempt(self, url: str, sha256: str = SHA, size: int | None = len(DATA), tell=None) -> Received:
        self.attempts += 1
        target = self.directory / str(self.attempts)
        target.mkdir()
        descriptor = os.open(target, os.O_RDONLY)
        self.told = []
        try:
            with fetch.new_client() as client:
                return download.fetch_into(
                    descriptor, Archive(url, sha256, size), client, patience=ONCE, parts=self.parts,
                    progress=tell or (lambda count, _: self.told.append(count)),
                )  # fmt: skip
        finally:
            os.close(descriptor)

    def fails(self, url: str, **fields) -> str:
        with pytest.raises(TransientError) as caught:
            self.attempt(url, **fields)
        return caught.value.reason

    @property
    def unpacked(self) -> bytes:
        return (self.directory / str(self.attempts) / "data").read_bytes()

    @property
    def kept(self) -> int:
        return len(list(self.parts.directory.glob("*")))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_the_next_attempt_asks_for_what_is_missing_if_it_is_the_same_file(place):
    with hostile_server(lambda it: it.serve_range(DATA, upto=None if it.number else 200_000)) as server:
        assert place.fails(server.url) == "Unreachable"
        assert place.kept == 1
        received = place.attempt(server.url)

    assert server.ranges == ["", "bytes=200000-"]
    assert server.requests[1].headers["if-range"] == '"1"'
    assert (received.archive_bytes, place.unpacked, place.kept) == (len(DATA), CONTENT, 0)


def test_three_attempts_may_each_bring_a_part(place):
    upto = [100_000, 200_000, None]
    with hostile_server(lambda it: it.serve_range(DATA, upto=upto[it.number])) as server:
        assert [place.fails(server.url) for _ in range(2)] == ["Unreachable"] * 2
        place.attempt(server.url)

    assert server.ranges == ["", "bytes=100000-", "bytes=200000-"]
    assert place.unpacked == CONTENT


@pytest.mark.parametrize("etag", ['W/"1"', ""])
def test_without_a_strong_tag_the_checksum_is_the_condition(place, etag):
    with hostile_server(lambda it: it.serve_range(DATA, etag, upto=None if it.number else 200_000)) as server:
        place.fails(server.url)
        place.attempt(server.url)

    assert "if-range" not in server.requests[1].headers
    assert place.unpacked == CONTENT


def test_a_server_that_gives_the_whole_again_is_believed(place):
    def behave(it: Exchange) -> None:
        it.head(200, len(DATA), ETag=f'"{it.number}"')
        it.send(DATA if it.number else DATA[:200_000])

    with hostile_server(behave) as server:
        place.fails(server.url)
        place.attempt(server.url)

    assert (len(server.requests), place.unpacked, place.kept) == (2, CONTENT, 0)


def test_a_part_that_was_damaged_is_downloaded_anew_in_the_same_attempt(place):
    with hostile_server(lambda it: it.serve_range(DATA, upto=None if it.number else 200_000)) as server:
        place.fails(server.url)
        (part,) = place.parts.directory.iterdir()
        body = bytearray(part.read_bytes())
        body[-1000:] = bytes(1000)
        part.write_bytes(body)
        place.attempt(server.url)

    assert server.ranges == ["", "bytes=200000-", ""]
    assert (place.unpacked, place.kept) == (CONTENT, 0)


def test_a_file_that_was_exchanged_for_a_shorter_one_is_downloaded_anew(place):
    other = an_archive(a_file("data", b"other"))

    def behave(it: Exchange) -> None:
        if it.number == 0:
            it.serve_range(DATA, upto=200_000)
        elif it.range_start:
            it.answer(b"", 416)
        else:
            it.answer(other)

    sha256 = hashlib.sha256(other).hexdigest()
    with hostile_server(behave) as server:
        place.fails(server.url, sha256=sha256, size=None)
        place.attempt(server.url, sha256=sha256, size=None)

    assert (place.unpacked, place.kept) == (b"other", 0)


def test_what_turns_out_to_be_another_archive_leaves_no_part(place):
    with hostile_server(lambda it: it.serve_range(DATA)) as server:
        assert place.fails(server.url, sha256="0" * 64) == "ChecksumMismatch"

    assert (place.kept, len(server.requests)) == (0, 1)


def test_a_part_that_has_everything_needs_no_server(place):
    url = "http://127.0.0.1:9/a.tar.gz"
    with place.parts.open(url, SHA) as part:
        part.begin(len(DATA), "")
        part.add(DATA)

    place.attempt(url)

    assert (place.unpacked, place.kept) == (CONTENT, 0)


def test_what_nobody_wants_any_more_is_not_kept(place):
    def stop(count: int, _: int | None) -> None:
        raise TransientError("NoLongerWanted", "nobody wants it")

    with hostile_server(lambda it: it.serve_range(DATA)) as server:
        assert place.fails(server.url, tell=stop) == "NoLongerWanted"

    assert place.kept == 0


def test_the_progress_of_a_part_is_told_too(place):
    with hostile_server(lambda it: it.serve_range(DATA, upto=None if it.number else 200_000)) as server:
        place.fails(server.url)
        place.attempt(server.url)

    assert place.told == sorted(place.told)
    assert place.told[-1] == len(DATA)


def break_off(it: Exchange) -> None:
    """Answer with less of the rest than was asked for, as what it says it is: the whole."""
    it.head(206, 10)
    it.send(DATA[:10])


@pytest.mark.parametrize(
    "answer",
    [lambda it: it.answer(b"", 400), lambda it: it.answer(b"", 403), lambda it: it.answer(b"", 500), break_off],
)
def test_a_server_that_does_not_give_the_rest_is_asked_for_the_whole(place, answer):
    def behave(it: Exchange) -> None:
        answer(it) if it.range_start else it.serve_range(DATA, upto=None if it.number else 200_000)

    with hostile_server(behave) as server:
        assert place.fails(server.url) == "Unreachable"
        place.attempt(server.url)

    assert server.ranges == ["", "bytes=200000-", ""]
    assert (place.unpacked, place.kept) == (CONTENT, 0)


def test_a_part_begins_anew_with_the_whole_that_was_asked_for_instead_of_the_rest(place):
    def behave(it: Exchange) -> None:
        it.answer(b"", 403) if it.number == 1 else it.serve_range(DATA, upto=[200_000, 0, 150_000, None][it.number])

    with hostile_server(behave) as server:
        assert [place.fails(server.url) for _ in range(2)] == ["Unreachable"] * 2
        place.attempt(server.url)

    assert server.ranges == ["", "bytes=200000-", "", "bytes=150000-"]
    assert place.unpacked == CONTENT


def test_a_part_outlives_a_server_that_gives_neither_the_rest_nor_the_whole(place):
    def behave(it: Exchange) -> None:
        it.answer(b"", 503) if it.number in (1, 2) else it.serve_range(DATA, upto=None if it.number else 200_000)

    with hostile_server(behave) as server:
        assert [place.fails(server.url) for _ in range(2)] == ["Unreachable"] * 2
        place.attempt(server.url)

    assert server.ranges == ["", "bytes=200000-", "", "bytes=200000-"]
    assert place.unpacked == CONTENT


def test_nobody_is_asked_for_the_whole_when_it_is_not_wanted_any_more(place):
    def stop(count: int, _: int | None) -> None:
        raise TransientError("NoLongerWanted", "nobody wants it")

    def behave(it: Exchange) -> None:
        it.answer(b"", 500) if it.number else it.serve_range(DATA, upto=200_000)

    with hostile_server(behave) as server:
        place.fails(server.url)
        assert place.fails(server.url, tell=stop) == "NoLongerWanted"

    assert server.ranges == ["", "bytes=200000-"]
