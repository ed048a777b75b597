"""The standard input of a run: who is given it, when it ends, and that nobody else has any."""

import os
from pathlib import Path

import pytest

from controller.launcher import control, held_run
from controller.launcher.join_request import Deed
from controller.launcher.joined import JoinRefused
from controller.sandbox.rights import Rights
from support.joining import Held

pytestmark = pytest.mark.needs_root

PIPE_BYTES = 1 << 16


def stdin_of(held):
    """What writes to the standard input of a run."""
    with held.join("stdin", deed=Deed.STDIN, streams=()) as session:
        return session.take_input()


def end_of(held):
    return control.end_stdin(Path(held.spec.run_dir))


@pytest.fixture
def cat(launching):
    return Held(launching, "cat", stdin=True)


def test_what_is_written_is_read_by_the_job_and_its_end_comes_when_the_supervisor_is_told(cat, launching):
    fd = stdin_of(cat)
    os.write(fd, b"said\n")
    os.close(fd)
    launching.wait_for_output(cat.spec, "said")

    assert end_of(cat)

    assert launching.record_of(cat.spec).exit_code == 0


def test_who_lets_go_ends_nothing_and_another_may_write_on(cat, launching):
    for word in ("one\n", "two\n"):
        fd = stdin_of(cat)
        os.write(fd, word.encode())
        os.close(fd)
        launching.wait_for_output(cat.spec, word)
    end_of(cat)

    assert launching.record_of(cat.spec).exit_code == 0
    assert launching.output_of(cat.spec) == "one\ntwo\n"


def test_it_does_not_end_before_everyone_who_writes_has_let_go(cat, launching):
    fd = stdin_of(cat)
    end_of(cat)
    os.write(fd, b"last\n")
    launching.wait_for_output(cat.spec, "last")
    os.close(fd)

    assert launching.record_of(cat.spec).exit_code == 0


@pytest.mark.invariant("X62")
def test_one_that_has_ended_is_given_to_nobody(launching):
    held = Held(launching, "sh", "-c", "cat; echo ended; exec sleep 1000", stdin=True)
    fd = stdin_of(held)
    end_of(held)
    os.close(fd)
    launching.wait_for_output(held.spec, "ended")

    with pytest.raises(JoinRefused, match="has ended") as refused:
        stdin_of(held)

    assert (refused.value.answer.exit_code, refused.value.answer.run_is_over) == (1, False)
    held.end()


def test_ending_it_twice_is_ending_it_once(launching):
    held = Held(launching, "sh", "-c", "cat; echo ended; exec sleep 1000", stdin=True)

    assert (end_of(held), end_of(held)) == (True, True)

    launching.wait_for_output(held.spec, "ended")
    held.end()


@pytest.mark.invariant("X60")
def test_a_job_without_one_reads_dev_null_and_nobody_is_given_anything(launching):
    held = Held(launching, "sh", "-c", "readlink /proc/self/fd/0; cat; echo read; exec sleep 1000")
    launching.wait_for_output(held.spec, "read")

    assert launching.output_of(held.spec) == "/dev/null\nread\n"
    with pytest.raises(JoinRefused, match="is /dev/null"):
        stdin_of(held)
    assert end_of(held)  # It is told, and has nothing to end.
    held.end()


@pytest.mark.invariant("X61")
def test_a_job_that_does_not_read_holds_up_nobody_who_writes(launching):
    held = Held(launching, stdin=True)
    fd = stdin_of(held)

    os.write(fd, bytes(PIPE_BYTES))
    with pytest.raises(BlockingIOError):
        os.write(fd, b"x")

    os.close(fd)
    held.end()


def test_who_writes_to_a_job_that_has_closed_it_is_told(launching):
    held = Held(launching, "sh", "-c", "exec <&-; echo closed; exec sleep 1000", stdin=True)
    fd = stdin_of(held)
    launching.wait_for_output(held.spec, "closed")

    with pytest.raises(BrokenPipeError):
        os.write(fd, b"x")

    os.close(fd)
    held.end()


@pytest.mark.invariant("X60")
def test_the_job_has_the_reading_end_alone_and_may_open_it_by_its_name(launching):
    script = "ls /proc/self/fd; exec 3</dev/stdin; head -c 4 <&3; cat /proc/self/fdinfo/0 | grep flags"
    held = Held(launching, "sh", "-c", script, stdin=True)
    fd = stdin_of(held)
    os.write(fd, b"said")
    os.close(fd)

    assert launching.record_of(held.spec).exit_code == 0
    listed, _, flags = launching.output_of(held.spec).partition("said")
    assert listed.split() == ["0", "1", "2", "3"]  # The last is that of ls itself.
    assert int(flags.split()[1], 8) & (os.O_ACCMODE | os.O_NONBLOCK) == os.O_RDONLY


def test_a_job_with_rights_of_its_own_has_one_too(launching):
    held = Held(launching, "head", "-c", "4", stdin=True, rights=Rights("baseline"))
    fd = stdin_of(held)
    os.write(fd, b"said")
    os.close(fd)

    assert launching.record_of(held.spec).exit_code == 0
    assert launching.output_of(held.spec) == "said"


def test_who_goes_into_the_run_does_not_keep_it_open(cat, launching):
    with cat.join("sleep", "1000"):
        end_of(cat)

        assert launching.record_of(cat.spec).exit_code == 0


@pytest.mark.invariant("X62")
def test_a_run_that_outlives_its_launcher_is_still_written_to(cat, launching):
    launching.client.shutdown()
    launching.start_launcher()

    fd = stdin_of(cat)
    os.write(fd, b"again")
    os.close(fd)
    end_of(cat)

    assert launching.record_of(cat.spec).exit_code == 0
    assert launching.output_of(cat.spec) == "again"


def test_a_run_that_has_ended_is_written_to_by_nobody(cat):
    cat.end()

    with pytest.raises(JoinRefused) as refused:
        stdin_of(cat)

    assert refused.value.answer.run_is_over


def test_what_is_no_input_is_not_taken_for_one(launching):
    held = Held(launching)

    with held.join("cat", terminal=(80, 24)) as session, pytest.raises(JoinRefused, match="no input"):
        session.take_input()
    held.end()


def test_what_was_let_go_of_meanwhile_is_not_taken_for_it(tmp_path):
    with open(tmp_path / "other", "wb") as other:
        self_fd = os.pidfd_open(os.getpid())
        found = held_run._take_writer(self_fd, other.fileno(), os.fstat(other.fileno()).st_ino)
        gone = held_run._take_writer(self_fd, 1 << 15, 1)
        os.close(self_fd)

    assert (found, gone) == (None, None)
