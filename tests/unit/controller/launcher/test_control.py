"""Orders to a supervisor through its FIFO."""

import os
import select

import pytest

from controller.launcher import control, recording
from controller.launcher.control import ControlFifo
from controller.launcher.records import Claim


@pytest.fixture
def run_dir_fd(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def fifo(run_dir_fd, tmp_path):
    fifo = ControlFifo(f"{tmp_path}/control.7")
    os.close(recording.place_claim(run_dir_fd, Claim("uid-1", "", 7, 7, "", fifo.path)))
    yield fifo
    os.close(fifo.fd)


def test_a_stop_arrives_with_its_reason_and_grace(fifo, tmp_path):
    assert control.stop(tmp_path, "Superseded", 2.5)

    assert fifo.read() == [{"op": "stop", "reason": "Superseded", "grace_seconds": 2.5}]


def test_a_deadline_arrives(fifo, tmp_path):
    assert control.set_deadline(tmp_path, None)
    assert control.set_deadline(tmp_path, 60)

    assert fifo.read() == [{"op": "deadline", "seconds": None}, {"op": "deadline", "seconds": 60}]


def test_that_its_standard_input_is_to_end_arrives(fifo, tmp_path):
    assert control.end_stdin(tmp_path)

    assert fifo.read() == [{"op": "end_stdin"}]


def test_nothing_is_sent_to_a_run_that_nobody_has_claimed(tmp_path):
    assert not control.stop(tmp_path, "Stopped", 1)


def test_a_supervisor_that_is_gone_is_told_from_one_that_listens(run_dir_fd, tmp_path):
    fifo = ControlFifo(f"{tmp_path}/control.7")
    os.close(recording.place_claim(run_dir_fd, Claim("uid-1", "", 7, 7, "", fifo.path)))
    fifo.close()

    assert not control.stop(tmp_path, "Stopped", 1)


def test_half_a_line_waits_for_its_rest_and_junk_is_ignored(fifo, tmp_path):
    with open(tmp_path / "control.7", "wb", buffering=0) as writer:
        writer.write(b'junk\n[]\n{"op": "st')
        assert fifo.read() == []
        writer.write(b'op"}\n')

    assert fifo.read() == [{"op": "stop"}]


def test_an_order_that_could_mix_with_others_is_not_sent(fifo, tmp_path):
    with pytest.raises(ValueError, match="at most"):
        control.stop(tmp_path, "x" * select.PIPE_BUF, 1)


def test_only_fifos_that_nobody_listens_on_are_removed(tmp_path):
    heard, abandoned = ControlFifo(f"{tmp_path}/control.1"), ControlFifo(f"{tmp_path}/control.2")
    abandoned.close()
    (tmp_path / "17").touch()

    control.remove_abandoned(str(tmp_path))

    assert sorted(os.listdir(tmp_path)) == ["17", "control.1"]
    heard.close()
