import os

import pytest

from controller.linux import ofd_lock


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file").touch()
    return str(tmp_path / "file")


@pytest.fixture
def opened(path):
    fds = []

    def open_one():
        fds.append(os.open(path, os.O_RDWR))
        return fds[-1]

    yield open_one
    for fd in fds:
        os.close(fd)


def test_a_lock_keeps_every_other_open_file_out_of_its_byte_alone(opened):
    one, other = opened(), opened()

    assert ofd_lock.take(one, 7)
    assert [ofd_lock.take(other, 7), ofd_lock.take(other, 7, shared=True), ofd_lock.take(other, 8)] == [
        False,
        False,
        True,
    ]


def test_shared_locks_are_beside_each_other_and_keep_one_that_is_alone_out(opened):
    one, other, third = opened(), opened(), opened()

    assert ofd_lock.take(one, 0, shared=True)
    assert ofd_lock.take(other, 0, shared=True)
    assert not ofd_lock.take(third, 0)


@pytest.mark.parametrize("shared", [False, True])
def test_that_another_has_a_lock_is_told_without_taking_any(opened, shared):
    one, other, third = opened(), opened(), opened()
    before = ofd_lock.is_taken(other, 0)
    ofd_lock.take(one, 0, shared=shared)

    assert (before, ofd_lock.is_taken(other, 0), ofd_lock.is_taken(one, 0)) == (False, True, False)
    assert ofd_lock.take(third, 0, shared=True) is shared


def test_a_lock_is_gone_with_the_last_copy_of_its_descriptor(path, opened):
    one, other = os.open(path, os.O_RDWR), opened()
    ofd_lock.take(one, 0)
    copy = os.dup(one)
    os.close(one)
    with_a_copy = ofd_lock.is_taken(other, 0)
    os.close(copy)

    assert (with_a_copy, ofd_lock.is_taken(other, 0)) == (True, False)


def test_a_file_that_has_lost_its_name_is_told_from_the_one_that_has_it(path, opened):
    fd = opened()
    named = ofd_lock.is_still(path, fd)
    os.unlink(path)
    nameless = ofd_lock.is_still(path, fd)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))

    assert (named, nameless, ofd_lock.is_still(path, fd)) == (True, False, False)
