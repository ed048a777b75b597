"""Orders to a supervisor through its FIFO."""

import os
import select

import pytest

from controller.launcher import control, records
from controller.launcher.control import ControlFifo
from controller.launcher.records import Claim


@pytest.fixture
def run_dir_fd(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def fifo(run_dir_fd):
    fifo = ControlFifo(run_dir_fd, "control.7")
    os.close(records.place_claim(run_dir_fd, Claim("uid-1", "", 7, 7, "", "control.7")))
    yield fifo
    os.close(fifo.fd)


def test_a_stop_arrives_with_its_reason_and_grace(fifo, tmp_path):
    assert control.stop(tmp_path, "Superseded", 2.5)

    assert fifo.read() == [{"op": "stop", "reason": "Superseded", "grace_seconds": 2.5}]


def test_a_deadline_arrives(fifo, tmp_path):
    assert control.set_deadline(tmp_path, None)
    assert control.set_deadline(tmp_path, 60)

    assert fifo.read() == [{"op": "deadline", "seconds": None}, {"op": "deadline", "seconds": 60}]


def test_nothing_is_sent_to_a_run_that_nobody_has_claimed(tmp_path):
    assert not control.stop(tmp_path, "Stopped", 1)


def test_a_supervisor_that_is_gone_is_told_from_one_that_listens(run_dir_fd, tmp_path):
    fifo = ControlFifo(run_dir_fd, "control.7")
    os.close(records.place_claim(run_dir_fd, Claim("uid-1", "", 7, 7, "", "control.7")))
    os.close(fifo.fd)

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
