"""Slots: one run at a time has one, whoever gave it out."""

import fcntl
import os
from pathlib import Path

import pytest

from controller.launcher import slots
from controller.launcher.slots import FIRST_ID, IDS_PER_SLOT, NoSlot, SlotPool

pytestmark = pytest.mark.needs_root


def test_slots_are_different_and_their_ids_apart(tmp_path):
    pool = SlotPool(f"{tmp_path}/slots")

    first, second = pool.take(), pool.take()

    assert (first.number, second.number) == (0, 1)
    assert (first.host_base, second.host_base) == (FIRST_ID, FIRST_ID + IDS_PER_SLOT)


def test_a_slot_held_by_a_run_of_an_earlier_launcher_is_not_given_out(tmp_path):
    earlier = SlotPool(f"{tmp_path}/slots").take()

    later = SlotPool(f"{tmp_path}/slots").take()

    assert later.number != earlier.number


@pytest.mark.invariant("X4")
def test_two_launchers_on_one_host_never_give_out_the_same_ids(tmp_path):
    pools = [SlotPool(f"{tmp_path}/slots"), SlotPool(f"{tmp_path}/slots")]

    taken = [pools[turn % 2].take().number for turn in range(8)]

    assert sorted(taken) == list(range(8))


@pytest.mark.invariant("X4")
def test_launchers_of_all_roots_look_at_the_one_file_of_the_host(launching):
    inode = os.stat(slots.HOST_FILE).st_ino
    locks = Path("/proc/locks").read_text().splitlines()
    assert any(f":{inode} " in line for line in locks if "OFDLCK" in line)


def test_a_slot_is_free_again_when_its_lock_is_closed_wherever_it_was_held(tmp_path):
    earlier = SlotPool(f"{tmp_path}/slots").take()
    os.close(earlier.lock_fd)

    assert SlotPool(f"{tmp_path}/slots").take().number == earlier.number


def test_the_slot_longest_out_of_use_is_taken_first(tmp_path):
    pool = SlotPool(f"{tmp_path}/slots")
    taken = [pool.take() for _ in range(3)]
    for slot in (taken[1], taken[0], taken[2]):
        os.close(slot.lock_fd)
        pool.give_back(slot.number)

    assert [pool.take().number for _ in range(3)] == [1, 0, 2]


def test_a_user_namespace_is_kept_for_the_next_run(tmp_path):
    pool = SlotPool(f"{tmp_path}/slots")
    first = pool.take()
    os.close(first.lock_fd)
    pool.give_back(first.number)

    assert pool.take().user_namespace_fd == first.user_namespace_fd


def test_after_a_crowd_only_so_many_user_namespaces_are_kept_and_all_slots_can_be_had_again(tmp_path):
    pool = SlotPool(f"{tmp_path}/slots")
    before = len(os.listdir("/proc/self/fd"))
    crowd = [pool.take() for _ in range(slots.MOST_IDLE + 3)]
    for slot in crowd:
        os.close(slot.lock_fd)
        pool.give_back(slot.number)

    assert len(os.listdir("/proc/self/fd")) - before == slots.MOST_IDLE
    assert len({pool.take().number for _ in crowd}) == len(crowd)


def test_when_all_are_in_use_it_says_so_and_one_that_comes_free_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(slots, "SLOTS", 2)
    other = SlotPool(f"{tmp_path}/slots").take()
    pool = SlotPool(f"{tmp_path}/slots")
    pool.take()
    with pytest.raises(NoSlot, match="all 2 are in use"):
        pool.take()

    os.close(other.lock_fd)

    assert pool.take().number == other.number


@pytest.mark.invariant("X4")
def test_a_file_removed_between_opening_and_locking_is_no_lock(tmp_path, monkeypatch):
    """A second launcher would make the file anew, and lock the same slot in it."""
    path, others, really = f"{tmp_path}/slots", [], fcntl.fcntl

    def removed_at_first(fd: int, command: int, lock: bytes) -> bytes:
        if not others:
            os.unlink(path)
            others.append(None)
            others[0] = SlotPool(path).take()
        return really(fd, command, lock)

    monkeypatch.setattr(fcntl, "fcntl", removed_at_first)

    slot = SlotPool(path).take()

    assert slot.number != others[0].number
    assert os.path.samestat(os.fstat(slot.lock_fd), os.stat(path))


def test_a_file_that_is_removed_each_time_is_an_error_and_no_descriptor_is_left(tmp_path, monkeypatch):
    path, really = f"{tmp_path}/slots", fcntl.fcntl

    def removed(fd: int, command: int, lock: bytes) -> bytes:
        os.unlink(path)
        return really(fd, command, lock)

    monkeypatch.setattr(fcntl, "fcntl", removed)
    before = len(os.listdir("/proc/self/fd"))

    with pytest.raises(OSError, match="removed again and again"):
        SlotPool(path).take()

    assert len(os.listdir("/proc/self/fd")) == before


def test_ids_do_not_reach_into_those_of_others():
    last = FIRST_ID + slots.SLOTS * IDS_PER_SLOT - 1

    assert FIRST_ID > 0x6FFFFFFF  # systemd's container ids end there, and subordinate ids before.
    assert last < 0x7FFE0000  # systemd's foreign ids begin there.
