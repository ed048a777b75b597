"""Waiting to be asked to end: whenever it is asked, by either signal, and whatever else comes."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

STORY = """
import os, signal, sys, threading
from controller.linux.end_signals import EndSignals
signals = EndSignals()
signal.signal(signal.SIGUSR1, lambda *_: print("another", flush=True))
if sys.argv[1] == "before":
    os.kill(os.getpid(), int(sys.argv[2]))
elif sys.argv[1] == "another thread":
    threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), int(sys.argv[2]))).start()
print("waits", flush=True)
signals.wait()
print("ends", flush=True)
"""


@contextmanager
def a_story(when: str, number: signal.Signals) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", STORY, when, str(int(number))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as story:
        try:
            yield story
        finally:
            story.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("when", ["before", "another thread"])
def test_it_is_asked_before_it_waits_or_in_another_thread(when, number):
    with a_story(when, number) as story:
        said, _ = story.communicate(timeout=10)

    assert (said.splitlines(), story.returncode) == (["waits", "ends"], 0)


def test_another_signal_is_no_reason_to_end():
    with a_story("later", signal.SIGTERM) as story:
        assert story.stdout is not None
        assert story.stdout.readline() == "waits\n"
        story.send_signal(signal.SIGUSR1)
        assert story.stdout.readline() == "another\n"
        story.send_signal(signal.SIGTERM)
        said, _ = story.communicate(timeout=10)

    assert (said.splitlines(), story.returncode) == (["ends"], 0)
