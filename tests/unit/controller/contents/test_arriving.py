"""Uploads on their way: gone on with where they were, verified, bounded, forgotten when nobody goes on."""

import contextlib
import hashlib
import os

import pytest

from api.errors import Conflict, Forbidden, Invalid, ServiceUnavailable, TooLarge, TooManyRequests
from api.upload_packs import Content
from controller.contents import arriving
from support.contents import LIMITS, nothing, open_uploads, upload
from support.hand_clock import HandClock

CONTENT = bytes(range(256)) * 40
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def uploads(tmp_path, clock):
    return open_uploads(tmp_path / "contents", clock)


SIZE = len(CONTENT)


def begin(uploads, offset=0, total=SIZE, name="a-file", namespace="default", sender="ann"):
    return uploads.begin(namespace, sender, name, offset, total)


def send(uploads, *pieces, offset=0, **place):
    with begin(uploads, offset, **place) as sink:
        for piece in pieces:
            sink.write([piece], nothing)
        return sink.finish()


def test_an_upload_that_broke_off_goes_on_where_it_was(uploads):
    assert send(uploads, CONTENT[:1000]).received_bytes == 1000

    with begin(uploads, None) as sink:
        assert sink.finish().received_bytes == 1000
    assert send(uploads, CONTENT[1000:3000], offset=1000).digest == ""
    assert send(uploads, CONTENT[3000:], offset=3000).digest == DIGEST
    assert uploads.present("default", DIGEST) == len(CONTENT)


def test_all_of_it_may_be_here_before_anybody_has_finished_it(uploads):
    with begin(uploads) as sink:
        sink.write([CONTENT], nothing)

    with begin(uploads, None) as sink:
        assert sink.finish().digest == DIGEST


def test_who_goes_on_elsewhere_than_where_it_was_is_told_where(uploads):
    send(uploads, CONTENT[:1000])

    with pytest.raises(Conflict, match="at byte 999: 1000 bytes of it are here: go on there"):
        begin(uploads, 999)


def test_a_second_request_for_the_same_waits_for_the_first(uploads):
    with begin(uploads), pytest.raises(Conflict, match="another request writes to it"):
        begin(uploads)

    assert send(uploads, CONTENT).digest == DIGEST


def test_who_was_cut_off_before_the_answer_learns_the_digest(uploads):
    send(uploads, CONTENT)

    assert uploads.state("default", "ann", "a-file").digest == DIGEST


@pytest.mark.parametrize("place", [{"sender": "bob"}, {"namespace": "other"}, {"name": "another"}])
def test_what_is_on_its_way_is_its_senders_alone(uploads, place):
    send(uploads, CONTENT[:1000])

    assert (
        uploads.state(place.get("namespace", "default"), place.get("sender", "ann"), place.get("name", "a-file"))
        is None
    )
    assert send(uploads, CONTENT, **place).digest == DIGEST


def test_what_is_not_what_its_name_says_is_not_kept(uploads):
    with pytest.raises(Invalid, match=r"it is sha256:.*, not sha256:.*: send it again"):
        send(uploads, CONTENT[:-1] + b"x", name=DIGEST)

    assert uploads.present("default", DIGEST) is None
    assert send(uploads, CONTENT, name=DIGEST).digest == DIGEST


def test_more_than_was_announced_is_refused(uploads):
    with begin(uploads) as sink, pytest.raises(Invalid, match="more than the 10240 bytes came"):
        sink.write([CONTENT, b"x"], nothing)


def test_an_empty_one_is_a_content_too(uploads):
    assert send(uploads, total=0).digest == f"sha256:{hashlib.sha256().hexdigest()}"


@pytest.mark.parametrize(
    ("limit", "error", "why"),
    [
        ({"one": 100}, TooLarge, "the setting files.upload_size allows 100"),
        ({"of_namespace": 100}, Forbidden, "namespace default may have 100 together"),
        ({"of_all": 100}, ServiceUnavailable, "the setting files.total_size allows 100 together"),
        ({"minimum_free": 1 << 60}, ServiceUnavailable, "the host's disk has"),
    ],
)
def test_what_there_is_no_room_for_is_refused_before_it_is_sent(tmp_path, clock, limit, error, why):
    uploads = open_uploads(tmp_path / "contents", clock, **limit)

    with pytest.raises(error, match=why):
        begin(uploads, None)


@pytest.mark.parametrize("limit", ["of_namespace", "of_all"])
def test_what_is_promised_to_others_counts(tmp_path, clock, limit):
    uploads = open_uploads(tmp_path / "contents", clock, **{limit: 3 * len(CONTENT)})
    upload(uploads, CONTENT)

    with begin(uploads, name="second"):
        assert uploads.state("default", "ann", "second").received_bytes == 0
        with pytest.raises((Forbidden, ServiceUnavailable), match="together"):
            begin(uploads, name="third", total=len(CONTENT) + 1)


def test_nobody_begins_any_number_of_them(uploads):
    for number in range(32):
        send(uploads, b"x", name=f"file-{number}")

    with pytest.raises(TooManyRequests, match="32 are not finished"):
        begin(uploads, name="one-more")
    assert send(uploads, CONTENT, sender="bob").digest == DIGEST


def test_what_nobody_goes_on_with_goes_after_the_grace(uploads, clock):
    send(uploads, b"old", name="old")
    send(uploads, b"new", name="new")
    root = uploads._root / "default"
    (directory,) = root.iterdir()
    now = clock.now().timestamp()
    os.utime(directory / "old", (0, now - LIMITS.grace_seconds - 1))
    os.utime(directory / "new", (0, now))

    uploads.sweep()

    assert [path.name for path in directory.iterdir()] == ["new"]


def test_what_is_being_written_is_not_swept(uploads, clock):
    with begin(uploads) as sink:
        os.utime(sink.path, (0, 0))
        uploads.sweep()
        sink.write([CONTENT], nothing)
        assert sink.finish().digest == DIGEST


@pytest.mark.invariant("U2")
def test_what_came_before_the_host_was_started_is_not_gone_on_with(uploads, tmp_path, clock):
    send(uploads, CONTENT[:1000])
    uploads._root.rename(uploads._top / "an-earlier-boot")

    assert uploads.state("default", "ann", "a-file") is None
    uploads.sweep()
    assert list(uploads._top.iterdir()) == []


class Killed(BaseException):
    """As kill -9: what is under way says and does nothing more."""


@pytest.fixture(params=["link", "fsync", "unlink", "rename"])
def killed_while_it_is_kept(request, uploads, monkeypatch):
    """Return what sends CONTENT and is killed before call N of one kind, and the uploads of who is started next."""

    def send_and_be_killed(number):
        calls, real = iter(range(100)), getattr(os, request.param)

        def cut(*arguments, **options):
            if next(calls) >= number:
                raise Killed
            return real(*arguments, **options)

        with monkeypatch.context() as patched, contextlib.suppress(Killed):
            patched.setattr(os, request.param, cut)
            send(uploads, CONTENT)
        return open_uploads(uploads._contents.root, HandClock())

    return send_and_be_killed


@pytest.mark.invariant("U2")
@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("other", [b"EVIL", b""])
def test_who_was_killed_while_he_kept_it_leaves_nothing_that_writes_over_it(killed_while_it_is_kept, number, other):
    uploads = killed_while_it_is_kept(number)

    assert send(uploads, other, total=len(other)).digest == f"sha256:{hashlib.sha256(other).hexdigest()}"

    for stored in (uploads._contents.root / "all").iterdir():
        assert hashlib.sha256(stored.read_bytes()).hexdigest() == stored.name
    assert uploads.present("default", DIGEST) in (None, SIZE)
    assert send(uploads, CONTENT, namespace="other").digest == DIGEST
    assert (uploads._contents.root / "of" / "other" / DIGEST.removeprefix("sha256:")).read_bytes() == CONTENT


@pytest.mark.parametrize("number", range(5))
def test_who_was_killed_while_he_kept_it_has_it_sent_at_most_once_more(killed_while_it_is_kept, number):
    uploads = killed_while_it_is_kept(number)
    is_kept, state = uploads.present("default", DIGEST) is not None, uploads.state("default", "ann", "a-file")

    assert state is None or (state.received_bytes, state.digest) == (SIZE, DIGEST if is_kept else "")
    assert state is not None or not is_kept
    if state is None:
        assert send(uploads, CONTENT).digest == DIGEST
    elif not state.digest:
        assert send(uploads, offset=None).digest == DIGEST


@pytest.mark.parametrize("number", range(5))
def test_what_has_a_second_name_among_what_is_kept_is_tidied_away(killed_while_it_is_kept, number):
    uploads = killed_while_it_is_kept(number)
    before = uploads.present("default", DIGEST)

    uploads.tidy()

    left = [path for path in uploads._root.glob("*/*/*") if path.suffix != ".done"]
    assert [path.stat().st_nlink for path in left] == [1] * len(left)
    assert uploads.present("default", DIGEST) == before
    assert send(uploads, CONTENT).digest == DIGEST


def test_who_asks_while_it_is_kept_is_told_that_all_of_it_is_here(uploads, monkeypatch):
    told, real = [], os.fsync

    def fsync(fd):
        told.append(uploads.state("default", "ann", "a-file"))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    send(uploads, CONTENT)

    assert {(each.received_bytes, each.digest) for each in told} == {(SIZE, "")}


def test_what_is_left_of_a_pack_whose_keeping_was_broken_off_goes(uploads, monkeypatch):
    def cut(path, *_arguments, **_options):
        raise Killed

    with monkeypatch.context() as patched, contextlib.suppress(Killed):
        patched.setattr(os, "unlink", cut)
        uploads.take("default", [content_of(b"one"), content_of(b"two")])
    after = open_uploads(uploads._contents.root, HandClock())
    assert len(list(after._root.glob("*/packed/*"))) == 2

    after.tidy()

    assert list(after._root.glob("*/packed/*")) == []
    assert [after.present("default", content_of(body).digest) for body in (b"one", b"two")] == [3, 3]


def test_what_is_being_kept_is_not_tidied_away(uploads, tmp_path):
    with begin(uploads) as sink:
        sink.write([CONTENT], nothing)
        os.link(sink.path, tmp_path / "second")
        uploads.tidy()
        assert sink.finish().digest == DIGEST


def content_of(body, digest=""):
    return Content(digest or f"sha256:{hashlib.sha256(body).hexdigest()}", body)


@pytest.mark.invariant("U6")
def test_a_pack_is_kept_whole_and_each_content_once(uploads):
    bodies = [f"small file {number}".encode() for number in range(300)] + [b"", b""]

    uploads.take("default", [content_of(body) for body in bodies])
    uploads.take("default", [content_of(bodies[0])])

    assert [uploads.present("default", content_of(body).digest) for body in bodies] == [len(body) for body in bodies]
    assert len(list((uploads._contents.root / "all").iterdir())) == 301
    assert list(uploads._root.glob("*/*/*")) == []
    assert uploads.present("other", content_of(bodies[0]).digest) is None


@pytest.mark.invariant("U6")
def test_a_pack_with_one_content_that_is_another_is_not_kept_at_all(uploads):
    with pytest.raises(Invalid, match=r"cannot keep content 1 of the pack: it is sha256:.*, not sha256:00"):
        uploads.take("default", [content_of(b"good"), content_of(b"bad", "sha256:" + "0" * 64)])

    assert uploads.present("default", content_of(b"good").digest) is None


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        ({"one": 9}, TooLarge), ({"of_namespace": 19}, Forbidden), ({"of_all": 19}, ServiceUnavailable),
        ({"minimum_free": 1 << 60}, ServiceUnavailable),
    ],
)  # fmt: skip
def test_a_pack_for_which_there_is_no_room_is_refused(tmp_path, clock, limit, error):
    uploads = open_uploads(tmp_path / "contents", clock, **limit)

    with pytest.raises(error):
        uploads.take("default", [content_of(b"x" * 10), content_of(b"y" * 10)])
    assert list(uploads._root.glob("*/*/*")) == []


def test_a_pack_is_written_while_what_a_killed_daemon_left_of_another_is_swept(uploads, clock):
    uploads.take("default", [content_of(b"first")])
    left = uploads._root / "default" / "packed" / "left"
    left.write_bytes(b"x")
    os.utime(left, (0, 0))

    uploads.sweep()

    assert (left.exists(), left.parent.exists()) == (False, True)
    uploads.take("default", [content_of(b"second")])
    assert uploads.present("default", content_of(b"second").digest) == 6


def test_an_upload_that_could_not_be_begun_keeps_nobody_out_and_nothing_open(uploads, monkeypatch):
    send(uploads, CONTENT[:1000])
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(arriving, "TakingIn", lambda *_: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            begin(uploads, 1000)

    assert len(os.listdir("/proc/self/fd")) == before
    assert send(uploads, CONTENT[1000:], offset=1000).digest == DIGEST
