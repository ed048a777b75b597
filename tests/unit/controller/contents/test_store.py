"""Contents: each once, for those alone who handed it in, until nobody refers to it and no run has it."""

import contextlib
import hashlib
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.errors import ServiceUnavailable
from controller.contents.store import Missing
from controller.engine.clock import SystemClock
from support.contents import LIMITS, open_uploads, upload
from support.hand_clock import HandClock

GRACE = LIMITS.grace_seconds


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def uploads(tmp_path, clock):
    return open_uploads(tmp_path / "contents", clock)


@pytest.fixture
def contents(uploads):
    return uploads._contents


def nobody():
    return set()


def files_below(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_what_two_namespaces_hand_in_is_on_the_disk_once(uploads, contents):
    digests = {upload(uploads, b"model", namespace) for namespace in ("a", "b")}

    assert digests == {f"sha256:{hashlib.sha256(b'model').hexdigest()}"}
    (stored,) = (contents.root / "all").iterdir()
    assert [stored.samefile(contents.root / "of" / space / stored.name) for space in ("a", "b")] == [True, True]
    assert contents.used() == len(b"model")


@pytest.mark.invariant("U1")
def test_who_knows_a_digest_has_nothing_of_a_content_that_another_namespace_handed_in(uploads, contents, tmp_path):
    digest = upload(uploads, b"secret plans", "a")

    assert contents.size("b", digest) is None
    with pytest.raises(Missing, match=f"{digest} was not uploaded in namespace b"):
        contents.give("b", digest, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


@pytest.mark.invariant("U3")
def test_what_is_referred_to_is_kept_however_old_it_is(uploads, contents, clock):
    digest = upload(uploads, b"x")
    clock.advance(10 * GRACE)

    assert contents.collect(lambda: {("default", digest)}) == 0
    assert contents.size("default", digest) == 1


def test_what_nobody_refers_to_goes_after_the_grace_and_not_before(uploads, contents, clock):
    digest = upload(uploads, b"x")
    clock.advance(GRACE - 1)
    assert contents.collect(nobody) == 0
    clock.advance(2)

    assert contents.collect(nobody) == 1
    assert (contents.size("default", digest), files_below(contents.root / "all")) == (None, [])


def test_another_namespaces_reference_keeps_it_for_that_alone(uploads, contents, clock):
    digest = upload(uploads, b"x", "a")
    upload(uploads, b"x", "b")
    clock.advance(2 * GRACE)

    assert contents.collect(lambda: {("b", digest)}) == 1
    assert (contents.size("a", digest), contents.size("b", digest)) == (None, 1)


def test_who_asked_for_it_lately_finds_it_again(uploads, contents, clock):
    digest = upload(uploads, b"x")
    clock.advance(2 * GRACE)
    assert contents.size("default", digest) == 1

    assert contents.collect(nobody) == 0
    assert contents.size("default", digest) == 1


@pytest.mark.invariant("U3")
def test_a_job_that_is_stored_while_others_are_looked_through_keeps_its_upload(uploads, contents, clock):
    digest = upload(uploads, b"x")
    clock.advance(2 * GRACE)

    def looked_through_before_it_was_stored():
        contents.size("default", digest)  # As admission asks.
        return set()

    assert contents.collect(looked_through_before_it_was_stored) == 0
    assert contents.size("default", digest) == 1


def test_what_a_run_has_is_its_own_and_stays_when_the_content_is_collected(uploads, contents, clock, tmp_path):
    digest = upload(uploads, b"x")
    contents.give("default", digest, tmp_path / "given")
    contents.give("default", digest, tmp_path / "given")  # A second time, as after a crash.
    clock.advance(2 * GRACE)

    contents.collect(nobody)

    assert (tmp_path / "given").read_bytes() == b"x"
    assert contents.size("default", digest) is None


def test_a_content_that_only_a_run_has_can_be_handed_in_again_and_is_the_same_file(uploads, contents, clock, tmp_path):
    digest = upload(uploads, b"x")
    contents.give("default", digest, tmp_path / "given")
    clock.advance(2 * GRACE)
    contents.collect(nobody)

    assert upload(uploads, b"x", name="again") == digest
    assert contents.size("default", digest) == 1


def test_nobody_but_root_reads_what_is_kept(uploads, contents):
    upload(uploads, b"x")

    (stored,) = (contents.root / "all").iterdir()
    assert stored.stat().st_mode & 0o777 == 0o400
    assert contents.root.stat().st_mode & 0o777 == 0o700


@pytest.mark.invariant("U2")
@pytest.mark.parametrize("cut", range(8))
def test_cut_off_anywhere_it_is_whole_or_not_there_and_can_be_sent_again(uploads, contents, monkeypatch, cut):
    left = [cut]
    for name in ("link", "fsync", "utime"):
        real = getattr(os, name)

        def counted(*arguments, real=real, **options):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(5, "cut off")
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, counted)
    with contextlib.suppress(ServiceUnavailable):  # Later cuts are after all of it.
        upload(uploads, b"whole")
    monkeypatch.undo()

    for stored in (contents.root / "of").rglob("*"):
        assert stored.is_dir() or stored.read_bytes() == b"whole"
    digest = upload(uploads, b"whole")
    assert contents.size("default", digest) == 5


@pytest.mark.invariant("U3")
def test_what_an_object_that_is_being_stored_refers_to_is_kept_however_long_that_takes(uploads, contents, clock):
    digest = upload(uploads, b"x")

    with contents.held("default", {digest}):
        clock.advance(2 * GRACE)
        assert contents.collect(nobody) == 0
        clock.advance(2 * GRACE)
    assert contents.collect(nobody) == 0  # The object was stored just now, maybe after others were looked through.

    clock.advance(2 * GRACE)
    assert contents.collect(nobody) == 1


@pytest.mark.invariant("U3")
def test_collecting_all_the_time_never_takes_what_a_stored_object_refers_to(tmp_path):
    """The grace is over at once, a collector never rests, and objects are stored meanwhile."""
    uploads = open_uploads(tmp_path / "contents", SystemClock(), grace_seconds=1e-6)
    contents, stored, over = uploads._contents, set(), threading.Event()

    def collect():
        while not over.is_set():
            contents.collect(lambda: set(stored))

    collecting = threading.Thread(target=collect)
    collecting.start()
    refused = 0
    try:
        for number in range(40):
            digest = upload(uploads, f"content {number}".encode(), name=f"file-{number}")
            with contents.held("default", {digest}):
                if contents.size("default", digest) is None:
                    refused += 1  # As admission would: it is to be sent again.
                    continue
                stored.add(("default", digest))
            assert contents.size("default", digest) is not None
    finally:
        over.set()
        collecting.join()

    assert refused + len(stored) == 40
    assert all(contents.size(*each) is not None for each in stored)


@pytest.fixture
def others():
    """Do in another thread what is not to wait for this one; it fails if it does."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda do: pool.submit(do).result(timeout=20)


def while_the_disk_is_waited_for(monkeypatch, do):
    """Call `do` whenever a directory goes to the disk."""
    real = os.fsync

    def fsync(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            do()
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)


def test_others_store_objects_and_ask_while_a_content_goes_to_the_disk(uploads, contents, monkeypatch, others):
    there, sizes = upload(uploads, b"is there"), []

    def store():
        with contents.held("default", {there}):
            sizes.append(contents.size("default", there))

    while_the_disk_is_waited_for(monkeypatch, lambda: others(store))
    upload(uploads, b"new", name="another")

    assert set(sizes) == {8}


@pytest.mark.invariant("U2")
def test_a_name_that_may_not_be_on_the_disk_is_there_for_nobody(uploads, contents, monkeypatch, others):
    digest, sizes = f"sha256:{hashlib.sha256(b'new').hexdigest()}", []
    while_the_disk_is_waited_for(monkeypatch, lambda: sizes.append(others(lambda: contents.size("default", digest))))

    upload(uploads, b"new")

    assert set(sizes) == {None}
    assert contents.size("default", digest) == 3


def test_what_did_not_get_to_the_disk_is_there_once_it_was_sent_again(uploads, contents, monkeypatch):
    digest = f"sha256:{hashlib.sha256(b'new').hexdigest()}"

    def fail():
        raise OSError(5, "of the disk")

    with monkeypatch.context() as patched:
        while_the_disk_is_waited_for(patched, fail)
        with pytest.raises(ServiceUnavailable):
            upload(uploads, b"new")

    assert contents.size("default", digest) is None
    assert upload(uploads, b"new") == digest
    assert contents.size("default", digest) == 3


def test_an_object_without_uploads_waits_for_nobody_who_keeps_some(contents, others):
    def store():
        with contents.held("default", ()):
            return True

    with contents._lock:
        assert others(store)
