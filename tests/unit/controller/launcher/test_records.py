"""What a run's directory tells of it, in every state that a crash can leave it in."""

import contextlib
import errno
import json
import os
import signal
from dataclasses import asdict, replace

import pytest

from controller.launcher import blank, recording, records
from controller.launcher.control import ControlFifo
from controller.launcher.recording import ExitFile
from controller.launcher.records import Claim, Exited, ExitRecord, Lost, Running, Unclaimed
from controller.linux import mount_api, process
from controller.linux.mount_api import MountAttribute
from support.in_child import in_own_mounts
from support.launching import readable

RECORD = ExitRecord("uid-1", "Completed", "", 0, None, "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z")


@pytest.fixture
def run_dir(tmp_path):
    return tmp_path


@pytest.fixture
def run_dir_fd(run_dir):
    fd = os.open(run_dir, os.O_RDONLY)
    yield fd
    os.close(fd)


def own_claim(**changes):
    claim = Claim("uid-1", process.boot_id(), os.getpid(), process.start_time(), "2026-01-01T00:00:00Z", "control.1")
    return replace(claim, **changes)


def place(run_dir_fd, claim):
    fd = recording.place_claim(run_dir_fd, claim)
    if fd is not None:
        recording.make_durable((fd, run_dir_fd))
        os.close(fd)
    return fd is not None


def leave(run_dir_fd, record):
    exit_file = ExitFile(run_dir_fd)
    exit_file.write(record)
    exit_file.flush()


def test_a_run_without_a_claim_is_unclaimed(run_dir):
    assert records.observe(run_dir) == Unclaimed()


def test_a_run_whose_directory_is_not_there_is_unclaimed(run_dir):
    assert records.observe(run_dir / "gone") == Unclaimed()


def test_a_claimed_run_whose_supervisor_lives_is_running(run_dir, run_dir_fd):
    place(run_dir_fd, own_claim())

    observed = records.observe(run_dir)

    assert observed == Running(os.getpid(), process.start_time(), "2026-01-01T00:00:00Z")
    os.close(observed.hold())


def test_a_run_is_claimed_once(run_dir, run_dir_fd):
    assert place(run_dir_fd, own_claim())
    assert not place(run_dir_fd, own_claim(pid=1, start_time=0))

    assert records.observe(run_dir).pid == os.getpid()
    assert os.listdir(run_dir) == [records.CLAIM]


def test_a_run_is_claimed_once_by_files_made_ahead_too(run_dir, run_dir_fd):
    fds = [recording.place_claim(run_dir_fd, own_claim(), blank.make(str(run_dir))) for _ in range(2)]

    assert fds[1] is None
    assert isinstance(records.observe(run_dir), Running)
    assert os.listdir(run_dir) == [records.CLAIM]
    os.close(fds[0])


def test_a_claim_is_made_there_and_then_where_a_blank_cannot_be(run_dir, run_dir_fd):
    os.close(recording.place_claim(run_dir_fd, own_claim(), blank.make("/dev/shm")))

    assert isinstance(records.observe(run_dir), Running)


def test_a_run_of_another_boot_is_lost(run_dir, run_dir_fd):
    place(run_dir_fd, own_claim(boot_id="another"))

    assert records.observe(run_dir) == Lost(
        "the machine was restarted while the run was running", "2026-01-01T00:00:00Z"
    )


def test_a_pid_that_is_another_processs_by_now_is_not_taken_for_the_supervisor(run_dir, run_dir_fd):
    place(run_dir_fd, own_claim(start_time=process.start_time() - 1))

    assert isinstance(records.observe(run_dir), Lost)


def test_a_supervisor_that_died_without_a_record_is_lost_even_before_it_is_reaped(run_dir, run_dir_fd):
    pid = os.fork()
    if pid == 0:
        signal.pause()
    place(run_dir_fd, own_claim(pid=pid, start_time=process.start_time(pid)))
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    observed = records.observe(run_dir)
    os.waitpid(pid, 0)

    assert isinstance(observed, Lost)
    assert f"process {pid}" in observed.reason


def test_a_run_with_a_record_has_exited_whether_its_supervisor_lives_or_not(run_dir, run_dir_fd):
    place(run_dir_fd, own_claim())
    leave(run_dir_fd, RECORD)

    assert records.observe(run_dir) == Exited(RECORD)


def test_a_record_that_lost_its_name_with_the_power_is_found(run_dir, run_dir_fd):
    place(run_dir_fd, own_claim(boot_id="another"))
    leave(run_dir_fd, RECORD)
    os.rename(run_dir / records.EXIT, run_dir / "exit.json.new")

    assert records.observe(run_dir) == Exited(RECORD)


def test_a_record_not_yet_written_is_none(run_dir, run_dir_fd):
    place(run_dir_fd, own_claim(boot_id="another"))
    reserved = ExitFile(run_dir_fd)

    assert isinstance(records.observe(run_dir), Lost)
    os.close(reserved.fd)


@pytest.mark.parametrize("claim", [None, "", '{"run_id"'])
def test_a_record_is_found_though_the_claim_went_with_the_power(run_dir, run_dir_fd, claim):
    if claim is not None:
        (run_dir / records.CLAIM).write_text(claim)
    leave(run_dir_fd, RECORD)
    os.rename(run_dir / records.EXIT, run_dir / "exit.json.new")

    assert records.observe(run_dir) == Exited(RECORD)


@pytest.fixture
def fifo(run_dir):
    fifo = ControlFifo(f"{run_dir}/control.1")
    yield fifo
    fifo.close()


def test_the_end_is_told_when_the_supervisor_lets_go_of_its_fifo_though_it_lives(run_dir, run_dir_fd, fifo):
    place(run_dir_fd, own_claim(control=fifo.path))
    fd = records.observe(run_dir).open_end()

    assert not readable(fd, 0)
    fifo.close()
    assert readable(fd, 10)
    os.close(fd)


def test_without_its_fifo_the_supervisors_own_end_is_what_is_told(run_dir, run_dir_fd, fifo):
    place(run_dir_fd, own_claim(control=fifo.path))
    fifo.close()
    fd = records.observe(run_dir).open_end()

    assert not readable(fd, 0)
    signal.pidfd_send_signal(fd, 0)  # It is a pidfd.
    os.close(fd)


def test_what_is_no_fifo_tells_no_end(run_dir, run_dir_fd):
    (run_dir / "control.1").touch()
    place(run_dir_fd, own_claim(control=f"{run_dir}/control.1"))
    fd = records.observe(run_dir).open_end()

    assert not readable(fd, 0)
    os.close(fd)


def test_a_claim_that_cannot_be_read_is_lost_and_not_run_again(run_dir):
    (run_dir / records.CLAIM).write_text('{"run_id"')

    assert isinstance(records.observe(run_dir), Lost)


@pytest.mark.parametrize("text", ["", "[]", '{"run_id": "uid-1"}'])
def test_a_record_that_cannot_be_read_is_an_error_and_no_outcome(run_dir, text):
    (run_dir / records.EXIT).write_text(text)

    with pytest.raises(ValueError, match=r"cannot read exit\.json"):
        records.observe(run_dir)


@pytest.mark.parametrize("content", ["", " " * 4096, '{"run_id": "uid-1", "rea'])
def test_a_record_that_was_not_flushed_when_the_power_went_is_none(run_dir, run_dir_fd, content):
    """Its name may reach the disk before its content does."""
    place(run_dir_fd, own_claim(boot_id="another"))
    (run_dir / records.EXIT).write_text(content)

    assert records.observe(run_dir) == Lost(
        "the machine was restarted while the run was running", "2026-01-01T00:00:00Z"
    )


def test_a_record_is_told_of_before_it_is_flushed(run_dir, run_dir_fd):
    place(run_dir_fd, own_claim())
    exit_file = ExitFile(run_dir_fd)
    exit_file.write(RECORD)

    assert records.observe(run_dir) == Exited(RECORD)
    exit_file.flush()


def test_a_record_of_this_boot_that_cannot_be_read_is_an_error_though_there_is_a_claim(run_dir, run_dir_fd):
    place(run_dir_fd, own_claim(pid=1, start_time=0))
    (run_dir / records.EXIT).write_text("{")

    with pytest.raises(ValueError, match=r"cannot read exit\.json"):
        records.observe(run_dir)


def test_a_cancelled_run_has_its_outcome_and_cannot_be_claimed(run_dir, run_dir_fd):
    assert recording.cancel(run_dir, RECORD)

    assert records.observe(run_dir) == Exited(RECORD)
    assert not place(run_dir_fd, own_claim())


def test_a_run_that_was_begun_cannot_be_cancelled(run_dir, run_dir_fd):
    place(run_dir_fd, own_claim())

    assert not recording.cancel(run_dir, RECORD)
    assert isinstance(records.observe(run_dir), Running)


def test_records_are_plain_json(run_dir, run_dir_fd):
    leave(run_dir_fd, RECORD)

    assert json.loads((run_dir / records.EXIT).read_text()) == asdict(RECORD)


@pytest.mark.needs_root
@pytest.mark.parametrize("character", ["x", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\N{GRINNING FACE}", '"', "\udcff"])
def test_a_record_has_room_on_a_full_disk_whatever_its_message_is(run_dir, character):
    message = character * 2000

    def body():
        with mount_api.new_filesystem("tmpfs", {"size": "16384"}, MountAttribute.NODEV) as tree:
            mount_api.attach(tree, run_dir)
        fd = os.open(run_dir, os.O_RDONLY)
        place(fd, own_claim())
        exit_file = ExitFile(fd)
        fill(run_dir / "filler")
        exit_file.write(replace(RECORD, message=message, usage=dict.fromkeys(map(str, range(20)), 0.123456789)))
        observed = records.observe(run_dir)
        return observed.record.message, (run_dir / "exit.json").stat().st_size

    kept, size = in_own_mounts(body)

    assert message.startswith(kept)
    assert len(kept) >= 200
    assert size == 8192


@pytest.mark.needs_root
@pytest.mark.parametrize("made_ahead", [False, True])
def test_the_room_of_a_record_is_not_there_if_a_part_of_it_is(run_dir, made_ahead):
    def reserve():
        if made_ahead:
            recording.reserve(blank.make(str(run_dir)))
        else:
            ExitFile(os.open(run_dir, os.O_RDONLY))

    assert in_own_mounts(lambda: refused_on_a_disk(run_dir, 4096, reserve)) == errno.ENOSPC


@pytest.mark.needs_root
@pytest.mark.parametrize("made_ahead", [False, True])
def test_a_claim_that_a_part_of_would_be_on_the_disk_is_none(run_dir, made_ahead):
    long = own_claim(control="x" * 5000)

    def claim():
        blank_fd = blank.make(str(run_dir)) if made_ahead else None
        recording.place_claim(os.open(run_dir, os.O_RDONLY), long, blank_fd)

    def body():
        return refused_on_a_disk(run_dir, 4096, claim), os.listdir(run_dir), records.observe(run_dir)

    assert in_own_mounts(body) == (errno.ENOSPC, [], Unclaimed())


def refused_on_a_disk(place, size, step):
    """Return the error that `step` fails with, on an empty disk of so many bytes."""
    with mount_api.new_filesystem("tmpfs", {"size": str(size)}, MountAttribute.NODEV) as tree:
        mount_api.attach(tree, place)
    try:
        step()
    except OSError as error:
        return error.errno
    return None


@pytest.mark.parametrize(
    ("large", "lacking"),
    [
        (("mounts",), ["mounts"]),
        (("devices",), ["mounts", "devices"]),
        (("mounts", "devices"), ["mounts", "devices"]),
        (("io",), ["everything"]),
    ],
)
def test_a_receipt_that_has_no_room_says_what_is_left_out_of_it(run_dir, large, lacking):
    receipt = {"memoryBytes": 1, "mounts": {"rw": ["/work"]}, "devices": {"/dev/x": "c 1:5 0660"}}
    receipt |= dict.fromkeys(large, ["x" * 40] * 400)
    fd = os.open(run_dir, os.O_RDONLY)
    exit_file = ExitFile(fd)
    exit_file.write(replace(RECORD, message="m" * 2000, receipt=receipt))
    record = records.read_exit(fd)
    os.close(fd)

    assert (run_dir / "exit.json").stat().st_size == 8192
    kept = {} if lacking == ["everything"] else {name: receipt[name] for name in receipt if name not in lacking}
    assert record.receipt == {**kept, "leftOut": lacking}
    assert record.message == "m" * 2000


@pytest.mark.parametrize("large", [(), ("mounts",), ("io",)])
def test_a_receipt_can_be_read_until_there_is_a_record(run_dir, run_dir_fd, large):
    receipt = {"memoryBytes": 1, "mounts": {"rw": ["/work"]}} | dict.fromkeys(large, ["x" * 40] * 400)
    place(run_dir_fd, own_claim())
    exit_file = ExitFile(run_dir_fd)
    before = records.read_receipt(run_dir)

    exit_file.tell(receipt)
    told, observed = records.read_receipt(run_dir), records.observe(run_dir)
    exit_file.write(RECORD)

    assert before is None
    assert told == {(): receipt, ("mounts",): {"memoryBytes": 1, "leftOut": ["mounts"]}}.get(
        large, {"leftOut": ["everything"]}
    )
    assert isinstance(observed, Running)
    assert records.observe(run_dir) == Exited(RECORD)
    assert records.read_receipt(run_dir) is None


def test_where_no_run_is_there_is_no_receipt(run_dir):
    assert records.read_receipt(run_dir) is None
    assert records.read_receipt(run_dir / "none") is None


def test_a_receipt_is_no_record_of_a_dead_run(run_dir, run_dir_fd):
    place(run_dir_fd, own_claim(boot_id="another"))
    ExitFile(run_dir_fd).tell({"memoryBytes": 1})

    assert isinstance(records.observe(run_dir), Lost)
    assert records.read_receipt(run_dir) == {"memoryBytes": 1}


def fill(path):
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


MOMENT, BEGAN = "2026-01-01T00:00:10.000000000Z", "2026-01-01T00:00:10.000120000Z"


def held_claim(**changes):
    return own_claim(started_at="", not_before=MOMENT, **changes)


def test_a_run_that_waits_for_its_moment_is_held_and_says_for_which(run_dir, run_dir_fd):
    place(run_dir_fd, held_claim())
    before = records.observe(run_dir)
    ExitFile(run_dir_fd).tell({"memoryBytes": 1})
    ready = records.observe(run_dir)

    assert before == ready == Running(os.getpid(), process.start_time(), "", not_before=MOMENT)
    assert ready.is_held


def test_once_it_has_told_of_its_start_it_runs_as_any_other(run_dir, run_dir_fd):
    place(run_dir_fd, held_claim())
    exit_file = ExitFile(run_dir_fd)
    exit_file.tell({"memoryBytes": 1})
    exit_file.tell({"memoryBytes": 1}, BEGAN)
    begun = records.observe(run_dir)

    assert (begun.is_held, begun.started_at) == (False, BEGAN)
    assert records.read_receipt(run_dir) == {"memoryBytes": 1}


@pytest.mark.parametrize("started_at", ["", BEGAN])
def test_one_that_is_lost_says_whether_it_had_begun(run_dir, run_dir_fd, started_at):
    place(run_dir_fd, held_claim(start_time=0))
    ExitFile(run_dir_fd).tell({}, started_at)

    observed = records.observe(run_dir)

    assert (observed.started_at, observed.not_before) == (started_at, MOMENT)
    assert isinstance(observed, Lost)


def test_of_another_boot_nobody_knows_whether_its_moment_had_come(run_dir, run_dir_fd):
    place(run_dir_fd, held_claim(boot_id="another"))

    assert records.observe(run_dir) == Lost("the machine was restarted while the run was running", "")


def test_of_a_longer_text_that_it_told_before_nothing_is_left(run_dir, run_dir_fd):
    place(run_dir_fd, held_claim())
    exit_file = ExitFile(run_dir_fd)
    exit_file.tell({"mounts": "x" * 8150})
    exit_file.tell({"mounts": "x" * 8150}, BEGAN)

    assert records.observe(run_dir).started_at == BEGAN
    assert records.read_receipt(run_dir) == {"leftOut": ["mounts"]}


def test_what_it_has_told_is_no_record_of_its_end(run_dir, run_dir_fd):
    place(run_dir_fd, held_claim(pid=1, start_time=0))
    ExitFile(run_dir_fd).tell({"memoryBytes": 1}, BEGAN)

    assert isinstance(records.observe(run_dir), Lost)


def test_a_claim_that_holds_nothing_is_written_as_versions_before_it_read_it(run_dir, run_dir_fd):
    place(run_dir_fd, own_claim())

    assert "not_before" not in json.loads((run_dir / records.CLAIM).read_text())
