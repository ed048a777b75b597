"""Claims of devices: seen by all daemons of the host, for as long as whoever has one lives."""

import errno
import os
import select
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from controller.launcher import host_claims
from controller.launcher.host_claims import AlreadyHeld, HostClaim, HostClaims
from controller.linux import mount_api
from controller.linux.mount_api import MountAttribute
from support.in_child import in_own_mounts

CLAIM = HostClaim("uid-1", "/one", "job/default/etl", ("c195:0", "c195:1 c235:3"))


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "claims")


def no_objection(_live):
    return ""


def busy(live):
    return f"{live[0].holder} has it" if live else ""


def supervisor_of(path):
    """A process that keeps the claim until it is killed."""
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        host_claims.keep(path)
        os.write(ready_write, b".")
        signal.pause()
    os.read(ready_read, 1)
    os.close(ready_read)
    os.close(ready_write)
    return pid


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_where_nobody_claims_anything_there_is_nothing_and_nothing_is_made(directory):
    claims = HostClaims(directory)

    assert claims.live() == ()
    claims.forget("uid-1")
    assert not os.path.exists(directory)


def test_a_claim_is_seen_by_others_while_it_lasts_and_no_longer(directory):
    with HostClaims(directory).claimed(CLAIM, no_objection):
        during = HostClaims(directory).live()

    assert (during, HostClaims(directory).live()) == ((CLAIM,), ())
    assert os.listdir(directory) == [".gate"]
    assert os.stat(directory).st_mode & 0o777 == 0o700


@pytest.mark.invariant("X31")
def test_a_claim_lives_with_the_supervisor_that_keeps_it_whoever_made_it_is_gone(directory):
    with HostClaims(directory).claimed(CLAIM, no_objection) as path:
        supervisor = supervisor_of(path)
    after_its_daemon = HostClaims(directory).live()
    end(supervisor)

    assert (after_its_daemon, HostClaims(directory).live()) == ((CLAIM,), ())


@pytest.mark.invariant("X31")
def test_who_objects_to_those_that_live_gets_no_claim(directory):
    other = HostClaim("uid-2", "/two", "job/default/other", ("c195:0",))
    with HostClaims(directory).claimed(CLAIM, no_objection):
        with pytest.raises(AlreadyHeld, match="job/default/etl has it"), HostClaims(directory).claimed(other, busy):
            raise AssertionError("it was claimed twice")
        live = HostClaims(directory).live()

    assert live == (CLAIM,)
    with HostClaims(directory).claimed(other, busy):
        assert HostClaims(directory).live() == (other,)


def test_a_daemon_that_was_started_again_claims_what_its_own_run_keeps(directory):
    with HostClaims(directory).claimed(CLAIM, busy) as path:
        supervisor = supervisor_of(path)
    with HostClaims(directory).claimed(CLAIM, busy) as again:
        inodes = [os.stat(each).st_ino for each in (path, again)]
    live = HostClaims(directory).live()
    end(supervisor)

    assert (inodes[0], live) == (inodes[1], (CLAIM,))


@pytest.mark.invariant("X31")
def test_a_supervisor_that_comes_too_late_keeps_nothing(directory):
    with HostClaims(directory).claimed(CLAIM, no_objection) as path:
        pass

    fd = os.open(path, os.O_RDONLY)
    HostClaims(directory).live()  # Removes it.
    os.close(fd)
    with pytest.raises(FileNotFoundError):
        host_claims.keep(path)


@pytest.mark.invariant("X31")
def test_a_supervisor_that_comes_while_its_claim_is_removed_keeps_nothing(directory, monkeypatch):
    with HostClaims(directory).claimed(CLAIM, no_objection) as path:
        pass
    kept = []

    def comes_now(removed):
        with pytest.raises(OSError, match="was given up meanwhile"):
            kept.append(host_claims.keep(removed))
        unlink(removed)

    unlink = os.unlink
    monkeypatch.setattr(os, "unlink", comes_now)
    HostClaims(directory).live()

    assert (kept, os.path.exists(path)) == ([], False)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/nowhere", path)])
def test_what_is_no_file_is_nobodys_claim_and_in_nobodys_way(directory, make):
    with HostClaims(directory).claimed(CLAIM, busy):
        make(f"{directory}/backup")
        live = HostClaims(directory).live()
    HostClaims(directory).forget("backup")

    assert (live, HostClaims(directory).live()) == ((CLAIM,), ())
    assert os.path.lexists(f"{directory}/backup")


@pytest.mark.needs_root
def test_a_claim_that_a_part_of_would_be_on_the_disk_is_none(directory):
    large = HostClaim("uid-1", "/one", "x" * 5000, ("c195:0",))
    os.mkdir(directory)

    def body():
        with mount_api.new_filesystem("tmpfs", {"size": "4096"}, MountAttribute.NODEV) as tree:
            mount_api.attach(tree, directory)
        try:
            with HostClaims(directory).claimed(large, no_objection):
                return None
        except OSError as error:
            return error.errno, HostClaims(directory).live()

    assert in_own_mounts(body) == (errno.ENOSPC, ())


def test_the_claim_of_a_run_that_is_gone_is_forgotten_and_of_one_that_lives_is_not(directory):
    claims = HostClaims(directory)
    with claims.claimed(CLAIM, no_objection) as path:
        claims.forget("uid-1")
        lives = os.path.exists(path)
    claims.forget("uid-1")
    claims.forget("uid-1")

    assert (lives, os.path.exists(path)) == (True, False)


def test_a_claim_that_says_nothing_keeps_others_from_looking_until_its_run_ends(directory):
    with HostClaims(directory).claimed(CLAIM, no_objection) as path:
        os.truncate(path, 3)
        with pytest.raises(OSError, match=r"cannot tell which devices the run of .*/uid-1 has: wait for its end"):
            HostClaims(directory).live()

    assert HostClaims(directory).live() == ()


@pytest.mark.invariant("X31")
def test_of_many_that_claim_the_same_at_once_one_has_it_at_a_time(directory):
    held, most = [], []

    def claim(number):
        mine = HostClaim(f"uid-{number}", f"/{number}", str(number), ("c195:0",))
        try:
            with HostClaims(directory).claimed(mine, busy):
                held.append(number)
                most.append(len(held))
                select.select((), (), (), 0.001)
                held.remove(number)
        except AlreadyHeld:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        had = sum(pool.map(claim, range(200)))

    assert had > 0
    assert max(most) == 1
