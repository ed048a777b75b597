"""Bars: drawn on a terminal, with what is on its way and how far it is, and nowhere else."""

import os
import sys
from contextlib import contextmanager, suppress

from api.cli.progress import FileProgress


@contextmanager
def a_terminal(monkeypatch):
    """Have a terminal as stderr for the block; gives what ends it and says all that was drawn on it."""
    leader, follower = os.openpty()
    with open(leader, "rb", buffering=0) as shown, open(follower, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "120")
        yield lambda: all_drawn(stderr, shown)


def all_drawn(stderr, shown) -> str:
    """Everything written to a terminal: the kernel hands it over piece by piece, so it is read until the
    other end has been closed, which reads as EIO (``man 4 pts``)."""
    stderr.close()
    pieces = []
    with suppress(OSError):
        while piece := shown.read(1 << 16):
            pieces.append(piece)
    return b"".join(pieces).decode()


def test_a_terminal_shows_what_is_on_its_way_and_how_far(monkeypatch):
    with a_terminal(monkeypatch) as drawn:
        with FileProgress("uploading") as bars:
            bars.show("model.bin", 250_000, 1_000_000)
            bars.show("model.bin", 1_000_000, 1_000_000)
        shown = drawn()

    assert "uploading model.bin" in shown
    assert "1.0/1.0 MB" in shown


def test_a_name_that_would_rule_the_terminal_is_shown_as_text(monkeypatch):
    with a_terminal(monkeypatch) as drawn:
        with FileProgress("downloading") as bars:
            bars.show("a\x1b[2Jb", 1, 2)
        shown = drawn()

    assert "downloading a" in shown
    assert "a\x1b[2Jb" not in shown


def test_nothing_is_drawn_elsewhere_and_how_far_a_file_is_is_known_all_the_same(capsys):
    with FileProgress("uploading") as bars:
        bars.show("model.bin", 5, 10)

        assert (bars.done("model.bin"), bars.done("other")) == (5, -1)
    assert capsys.readouterr() == ("", "")
