"""Lines of logs as documents: what daemons send, and what ones do that know less."""

import json

import pytest

from api.cli import log_lines
from api.client import LogRequest


def told(*chunks: bytes, stream: str = "") -> list[dict[str, str]]:
    written: list[bytes] = []
    out = log_lines.JsonLines(written.append, stream).of("etl-1")
    at = 0
    for chunk in chunks:
        out.take(at, chunk)
        at += len(chunk)
    out.end()
    return [json.loads(line) for line in b"".join(written).splitlines()]


def test_the_request_asks_for_the_streams():
    request = log_lines.request_of(LogRequest(tail_lines=3))

    assert (request.params()["cri"], request.params()["tailLines"]) == ("true", "3")
    assert "cri" not in LogRequest().params()


def test_a_character_that_was_cut_in_two_is_whole_again():
    assert told(b"T stdout P \xc3\nT stdout F \xa9\n", b"T stderr F \xff\n") == [
        {"pod": "etl-1", "stream": "stdout", "time": "T", "line": "\xe9"},
        {"pod": "etl-1", "stream": "stderr", "time": "T", "line": "\ufffd"},
    ]


@pytest.mark.parametrize("size", [1, 3, 7])
def test_wherever_the_answer_is_cut_the_documents_are_the_same(size):
    text = b"T1 stdout P a\nT2 stderr F b\nT3 stdout F c\nT4 stdout F \n"
    chunks = [text[at : at + size] for at in range(0, len(text), size)]

    assert [each["line"] for each in told(*chunks)] == ["b", "ac", ""] == [each["line"] for each in told(text)]


def test_what_a_daemon_sends_that_cannot_tell_the_streams_has_the_one_that_was_asked_for():
    timed = b"2026-01-02T03:04:05.000006Z hello\n"

    assert told(timed) == [{"pod": "etl-1", "time": "2026-01-02T03:04:05.000006Z", "line": "hello"}]
    assert told(timed, stream="stderr")[0]["stream"] == "stderr"
    assert told(b"hello") == [{"pod": "etl-1", "line": "hello"}]
