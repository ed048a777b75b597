"""What the failure of a command is called, and whether it is worth another try."""

import tracemalloc

import pytest

from controller.engine.errors import TerminalError, TransientError
from controller.runtime.build import commands
from controller.runtime.build.commands import Bench, Command


def test_a_failed_command_is_reported_with_its_own_last_words():
    error = commands.failure(
        "install the Python packages", 1, ["Collecting nope", "", "ERROR: No matching distribution"]
    )

    assert isinstance(error, TerminalError)
    assert error.reason == "BuildFailed"
    assert error.message == (
        "cannot install the Python packages: the command ended with status 1: "
        "ERROR: No matching distribution | Collecting nope"
    )


def test_what_a_command_says_for_us_to_read_is_no_word_of_its_failure():
    def apt(command, log):
        for package in range(20):
            log(f"Inst p{package} (1.0 Debian:12 [amd64])")
            log(f"Conf p{package} (1.0 Debian:12 [amd64])")
        log("#runwright wanted")
        log("Reading package lists...")
        for _ in range(2):
            log("E: Unable to locate package nope")
        return 100

    with pytest.raises(TerminalError) as caught:
        Bench(apt, print).ask("resolve the Debian packages", Command(("apt",)))

    why = "the command ended with status 100: E: Unable to locate package nope | Reading package lists..."
    assert caught.value.message == f"cannot resolve the Debian packages: {why}"


def test_each_step_is_told_before_it_begins_and_known_to_what_runs_it():
    told: list[str] = []
    known: list[str] = []

    def run(command, log):
        known.append(command.purpose)
        log("done")
        return 0

    Bench(run, told.append).do("add the files", Command(("true",)))

    assert (told, known) == (["runwright: add the files", "done"], ["add the files"])


def test_only_the_end_of_much_output_is_told():
    error = commands.failure("build", 2, [f"line {number} " + "x" * 1000 for number in range(1000)])

    assert "line 999" in error.message
    assert "line 900" not in error.message
    assert len(error.message) < 5000


def test_a_command_that_said_nothing_is_said_to_have_said_nothing():
    assert commands.failure("build", 7, []).message.endswith("ended with status 7: it said nothing")


@pytest.mark.parametrize(
    "line",
    [
        "W: Failed to fetch http://mirror.example/x  Temporary failure resolving 'mirror.example'",
        "npm ERR! code EAI_AGAIN",
        "npm ERR! code ENOTFOUND",
        "WARNING: Retrying after connection broken by 'NewConnectionError'",
        "E: Failed to fetch x  502  Bad Gateway",
    ],
)
def test_what_sounds_of_the_network_is_tried_again(line):
    assert isinstance(commands.failure("build", 100, [line]), TransientError)


@pytest.mark.parametrize("line", ["FileNotFoundError: [Errno 2] No such file or directory: 'cc'", "line 1502 gateway"])
def test_what_only_looks_like_it_is_not(line):
    assert isinstance(commands.failure("build", 1, [line]), TerminalError)


def test_output_is_told_line_by_line_and_returned():
    told: list[str] = []

    def run(command, log):
        for word in command.argv:
            log(word)
        return 0

    assert Bench(run, told.append).ask("say", Command(("a", "b"))) == ("a", "b")
    assert told == ["runwright: say", "a", "b"]


def test_an_answer_that_is_endless_is_not_kept_and_fails_the_build():
    count = 200_000
    told = 0

    def run(command, log):
        for _ in range(count):
            log("x" * 100)
        return 0

    def count_one(line):
        nonlocal told
        told += 1

    with pytest.raises(TerminalError, match="cannot say: it said more than 8 MiB"):
        Bench(run, count_one).ask("say", Command(("yes",)))
    assert told == count + 1  # That it is to say something is told too.


def test_of_output_that_nobody_asked_for_only_the_last_words_are_kept():
    def run(command, log):
        for number in range(300_000):
            log(f"line {number} " + "x" * 100)
            log("")
        return 1

    tracemalloc.start()
    try:
        with pytest.raises(TerminalError, match="line 299999"):
            Bench(run, lambda line: None).do("say", Command(("yes",)))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_bench_raises_what_failed():
    with pytest.raises(TerminalError, match="cannot say: the command ended with status 3: it said nothing"):
        Bench(lambda command, log: 3, print).do("say", Command(("false",)))
