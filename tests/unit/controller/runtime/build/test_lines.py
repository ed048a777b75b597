"""A build's output on its way to people."""

import pytest

from controller.runtime.build.lines import LONGEST_LINE_BYTES, Lines


def lines_of(*pieces, secrets=()):
    told: list[str] = []
    lines = Lines(told.append, secrets)
    for piece in pieces:
        lines.feed(piece)
    lines.finish()
    return told


def test_lines_are_whole_however_they_come():
    assert lines_of(b"one\ntw", b"o\n", b"\nthr", b"ee") == ["one", "two", "", "three"]


def test_a_line_without_end_comes_in_pieces():
    assert [len(line) for line in lines_of(b"x" * (LONGEST_LINE_BYTES + 5))] == [LONGEST_LINE_BYTES, 5]


def test_of_a_progress_bar_the_last_state_is_kept():
    assert lines_of(b" 1%\r 50%\r100%\n", b"with a return\r\n") == ["100%", "with a return"]


def test_what_cannot_be_printed_is_replaced():
    assert lines_of(b"\x1b[31mred\xff\x00\n") == ["\ufffd[31mred\ufffd\ufffd"]


@pytest.mark.invariant("B4")
def test_no_line_has_a_secret_or_the_password_of_a_url():
    told = lines_of(
        b"Looking in indexes: https://user:hunter22@index.example/simple\n", b"token tok-12345 used\n",
        b"git+ssh://git@host/x and https://token@host/ and mail me@host\n", secrets=("tok-12345",),
    )  # fmt: skip

    assert told == [
        "Looking in indexes: https://***@index.example/simple",
        "token *** used",
        "git+ssh://***@host/x and https://***@host/ and mail me@host",
    ]


def test_a_longer_secret_is_hidden_before_one_that_is_its_beginning():
    assert lines_of(b"abcdef abcd\n", secrets=("abcd", "abcdef")) == ["*** ***"]
