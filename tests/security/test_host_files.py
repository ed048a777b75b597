"""Files of the host that a job names: nothing but files below what the policy gives, whoever may write there."""

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from api.types.job_file import JobFile
from controller.job import host_files
from controller.job.host_files import CannotCopy, CannotCopyNow, HostFiles
from controller.linux import mount_api

ROOM = 1 << 20
BOOT = "this-boot"


class Place:
    """What the policy gives, what it does not, and a run that wants files."""

    def __init__(self, root):
        self.shared, self.secret, self.run = root / "shared", root / "secret", root / "run"
        for each in (self.shared, self.secret, self.run):
            each.mkdir()
        (self.secret / "key").write_text("not for jobs")
        self.files = HostFiles({"team": (str(self.shared),)}, BOOT, 0)

    def copy(self, below="", namespace="team", room=ROOM, files=None, **fields):
        path = str(self.shared / below) if not str(below).startswith("/") else str(below)
        wanted = [JobFile(path="in", host_path=path, **fields)]
        return (files or self.files).copy(namespace, wanted, self.run, self.run / "given", room)

    def contents(self, copied):
        return {each.path: (self.run / "given" / each.source).read_bytes() for each in copied.given}

    def kept(self):
        """All that was written anywhere for the run."""
        return b"".join(path.read_bytes() for path in self.run.rglob("*") if path.is_file())


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_file_is_copied_with_its_mode_or_the_one_that_is_asked_for(place):
    (place.shared / "a").write_text("model")
    (place.shared / "a").chmod(0o4751)

    copied = place.copy("a")

    assert (place.contents(copied), [each.mode for each in copied.given]) == ({"in": b"model"}, [0o751])


def test_a_directory_is_copied_with_what_is_below_it(place):
    (place.shared / "set" / "deep").mkdir(parents=True, mode=0o710)
    (place.shared / "set" / "deep" / "b").write_text("b")
    (place.shared / "set" / "empty").mkdir()
    (place.shared / "set" / "last").symlink_to("deep/b")

    copied = place.copy("set")

    assert place.contents(copied) == {"in/deep/b": b"b"}
    assert {(file.path, file.link, file.directory) for file in copied.staged} == {
        ("in", None, True), ("in/deep", None, True), ("in/empty", None, True), ("in/last", "deep/b", False),
    }  # fmt: skip


def test_what_was_copied_is_not_copied_again_in_the_same_boot(place):
    (place.shared / "a").write_text("first")
    copied = place.copy("a")
    (place.shared / "a").write_text("second")

    assert (place.copy("a"), place.contents(copied)) == (copied, {"in": b"first"})
    after = place.copy("a", files=HostFiles({"team": (str(place.shared),)}, "another-boot", 0))
    assert place.contents(after) == {"in": b"second"}


@pytest.mark.invariant("U7")
@pytest.mark.parametrize("namespace", ["other", "tea", "*"])
def test_what_the_policy_does_not_give_the_namespace_is_not_read(place, namespace):
    (place.shared / "a").write_text("model")

    with pytest.raises(CannotCopy, match=r"policy.host_files does not give it to the namespace"):
        place.copy("a", namespace=namespace)
    with pytest.raises(CannotCopy, match=r"policy.host_files does not give it"):
        place.copy(place.secret / "key")


@pytest.mark.invariant("U7")
@pytest.mark.parametrize("to", ["{secret}/key", "../secret/key", "/proc/self/root{secret}/key", "/etc/passwd"])
@pytest.mark.parametrize("where", ["itself", "above", "below"])
def test_no_link_leads_out_of_what_the_policy_gives(place, to, where):
    target = to.format(secret=place.secret)
    if where == "itself":
        (place.shared / "x").symlink_to(target)
    elif where == "above":
        (place.shared / "x").symlink_to(os.path.dirname(target))
    else:
        (place.shared / "x").mkdir()
        (place.shared / "x" / "key").symlink_to(target if target.startswith("/") else f"../{target}")

    with pytest.raises(CannotCopy, match=r"leads out of the directory|must be a relative path|inside /work"):
        place.copy("x/key" if where == "above" else "x")
    assert b"not for jobs" not in place.kept()


def test_a_link_that_stays_is_followed(place):
    (place.shared / "v2").mkdir()
    (place.shared / "v2" / "a").write_text("second")
    (place.shared / "current").symlink_to("v2")

    assert place.contents(place.copy("current/a")) == {"in": b"second"}


@pytest.mark.invariant("U7")
def test_a_path_that_is_swapped_all_the_time_never_shows_what_is_elsewhere(place):
    """Somebody who may write there renames a link to the secret into the place, and back, as fast as they can."""
    (place.shared / "d").mkdir()
    (place.shared / "d" / "key").write_text("fine")
    (place.shared / "link").symlink_to(place.secret)
    over = threading.Event()

    def swap():
        d, link, aside = place.shared / "d", place.shared / "link", place.shared / "aside"
        while not over.is_set():
            for one, other in ((d, aside), (link, d), (d, link), (aside, d)):
                one.rename(other)

    swapping = threading.Thread(target=swap)
    swapping.start()
    found = set()
    try:
        for number in range(300):
            run = place.run / str(number)
            run.mkdir()
            wanted = [JobFile(path="in", host_path=str(place.shared / "d" / ("key" if number % 2 else "")).rstrip("/"))]
            try:
                copied = place.files.copy("team", wanted, run, run / "given", ROOM)
            except CannotCopy:
                continue
            found |= {(run / "given" / each.source).read_bytes() for each in copied.given}
    finally:
        over.set()
        swapping.join()

    assert found <= {b"fine"}
    assert b"not for jobs" not in place.kept()


@pytest.mark.needs_root
@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
@pytest.mark.parametrize("is_below", [False, True])
def test_what_is_no_file_is_never_opened(place, kind, is_below, monkeypatch):
    (place.shared / "d").mkdir()
    path = place.shared / "d" / "x"
    listener = None
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        listener = socket.socket(socket.AF_UNIX)
        monkeypatch.chdir(path.parent)  # The path may be too long for a socket.
        listener.bind("x")
    else:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(10, 130))  # A watchdog: who opens it starts it.

    assert "d/x: it is" in place.files.problem("team", [JobFile(path="in", host_path=str(path))])
    with pytest.raises(CannotCopy, match=rf"d/x: it is a {kind}: name a file or a directory"):
        place.copy("d" if is_below else "d/x")
    if listener:
        listener.close()


@pytest.mark.invariant("U7")
@pytest.mark.parametrize("path", ["/proc/self/environ", "/proc/1/root", "/sys/kernel/notes", "/dev/null", "/dev/mem"])
def test_what_the_kernel_says_is_no_file_though_the_policy_be_so_wide(place, path):
    wide = HostFiles({"team": ("/proc", "/sys", "/dev")}, BOOT, 0)

    with pytest.raises(CannotCopy, match="it is no place for files|it is a device"):
        place.copy(Path(path), files=wide)
    assert place.kept() == b""


@pytest.mark.needs_root
def test_a_mount_below_is_not_entered(place, host_is_clean):
    (place.shared / "m").mkdir()
    tree = mount_api.clone_tree(str(place.secret), recursive=False)
    mount_api.attach(tree, str(place.shared / "m"))
    os.close(tree.fd)
    try:
        with pytest.raises(CannotCopy, match="a link or a mount leads out"):
            place.copy("m/key")
        with pytest.raises(CannotCopy, match="a link or a mount leads out"):
            place.copy()
    finally:
        mount_api.unmount(str(place.shared / "m"), lazy=False)
    assert b"not for jobs" not in place.kept()


def test_a_file_that_grows_for_ever_takes_no_more_than_there_is_room_for(place):
    (place.shared / "a").write_bytes(b"x" * (ROOM + 1))

    with pytest.raises(CannotCopy, match=r"room for 1048576 bytes of the host's files: set spec.resources"):
        place.copy("a")
    assert len(place.kept()) <= ROOM


def test_a_file_that_changes_all_the_time_is_not_given_half_and_half(place, monkeypatch):
    (place.shared / "a").write_bytes(b"x" * 1000)
    real = os.pread

    def changing(fd, size, at):
        (place.shared / "a").write_bytes(os.urandom(500))
        return real(fd, size, at)

    monkeypatch.setattr(os, "pread", changing)

    with pytest.raises(CannotCopy, match="it changes while it is read: copy it aside"):
        place.copy("a")


@pytest.mark.parametrize(("name", "why"), [(b"\xff\xfe", "rename it"), (b"a" * 250, None)])
def test_a_name_that_no_job_could_write_is_told(place, name, why):
    Path(os.fsdecode(bytes(place.shared) + b"/" + name)).write_text("x")

    if why is None:
        assert len(place.copy().given) == 1
    else:
        with pytest.raises(CannotCopy, match=why) as refused:
            place.copy()
        str(refused.value).encode()


def test_too_many_and_too_deep_are_refused(place, monkeypatch):
    monkeypatch.setattr(host_files, "MOST_ENTRIES", 5)
    for number in range(6):
        (place.shared / str(number)).touch()
    with pytest.raises(CannotCopy, match="more than 5 files"):
        place.copy()

    deep = place.shared / "d" / "/".join("x" * 120)
    deep.mkdir(parents=True)
    monkeypatch.setattr(host_files, "MOST_ENTRIES", 5000)
    with pytest.raises(CannotCopy, match="levels deep"):
        place.copy("d")


@pytest.mark.parametrize("below", ["nothing", "a/b"])
def test_what_is_not_there_is_told(place, below):
    (place.shared / "a").touch()

    with pytest.raises(CannotCopy, match=r"No such file|Not a directory"):
        place.copy(below)
    wanted = [JobFile(path="in", host_path=str(place.shared / name)) for name in ("a", below)]
    told = place.files.problem("team", wanted)
    assert told.startswith(f"spec.files[1].hostPath: cannot copy {place.shared / below}: No")
    assert told.endswith(": have it put there, or name another")
    assert place.files.problem("team", wanted[:1]) == ""


def make_socket(path, monkeypatch):
    monkeypatch.chdir(path.parent)  # The path may be too long for a socket.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


def copies_of(monkeypatch):
    """Return what notes each piece that is read of a file."""
    pieces, real = [], os.pread

    def pread(fd, size, at):
        pieces.append(at)
        return real(fd, size, at)

    monkeypatch.setattr(os, "pread", pread)
    return pieces


@pytest.mark.parametrize("obstacle", ["a socket", "too many", "too large", "no place for it"])
def test_what_cannot_be_given_is_seen_before_the_first_file_is_copied(place, obstacle, monkeypatch):
    (place.shared / "a").write_text("fine")
    (place.shared / "b").write_bytes(b"x" * ROOM)
    read, room = copies_of(monkeypatch), ROOM + 4
    if obstacle == "a socket":
        make_socket(place.shared / "s", monkeypatch)
    elif obstacle == "too many":
        monkeypatch.setattr(host_files, "MOST_ENTRIES", 2)
    elif obstacle == "too large":
        room -= 1
    else:
        (place.shared / "link").symlink_to("/etc")

    with pytest.raises(CannotCopy, match=r"^spec.files\[0\].hostPath: cannot copy .*: .*: "):
        place.copy(room=room)
    assert (read, list((place.run / "given").iterdir())) == ([], [])


def test_what_the_hosts_disk_has_no_room_for_waits_for_that_and_says_so(place):
    (place.shared / "a").write_bytes(b"x" * 1000)
    (place.shared / "taken").write_bytes(b"x" * (1 << 20))  # Of the same disk, which has more in all than is free.
    whole = os.statvfs(place.run).f_blocks * os.statvfs(place.run).f_frsize
    full = HostFiles({"team": (str(place.shared),)}, BOOT, whole - 2000)

    with pytest.raises(CannotCopyNow, match="1000 bytes, and the host's disk has 0 left for them: make room on it"):
        place.copy("a", files=full)


def test_what_is_larger_than_the_hosts_disk_never_comes(place):
    whole = os.statvfs(place.run).f_blocks * os.statvfs(place.run).f_frsize
    with (place.shared / "a").open("wb") as file:
        file.truncate(1000)

    with pytest.raises(CannotCopy, match="1000 bytes of the host's files: its disk has room for 0: use a volume"):
        place.copy("a", files=HostFiles({"team": (str(place.shared),)}, BOOT, whole))


def test_two_large_copies_are_made_at_a_time_and_small_ones_beside_them(place, monkeypatch):
    monkeypatch.setattr(host_files, "_LARGE_BYTES", 1000)
    (place.shared / "large").write_bytes(b"x" * 1000)
    (place.shared / "small").write_bytes(b"x" * 999)
    runs, refused, real = iter("12345678"), [], os.pread

    def copy(name):
        run = place.run / next(runs)
        run.mkdir()
        wanted = [JobFile(path="in", host_path=str(place.shared / name))]
        return place.files.copy("team", wanted, run, run / "given", ROOM)

    def pread(fd, size, at):
        """While one is copied, another is begun, up to a third, which is refused."""
        if os.fstat(fd).st_size == 1000 and at == 0 and not refused:
            try:
                copy("large")
            except CannotCopyNow as error:
                refused.append(str(error))
                copy("small")
        return real(fd, size, at)

    monkeypatch.setattr(os, "pread", pread)
    copy("large")
    copy("large")

    assert refused == [
        "cannot copy the host's files: 2 other runs' are being copied: it is tried again when that is done"
    ]


def test_nothing_is_left_of_a_copy_that_broke_off(place, monkeypatch):
    for name in "ab":
        (place.shared / name).write_text(name)
    real = os.pread

    def pread(fd, size, at):
        if os.readlink(f"/proc/self/fd/{fd}").endswith("/b"):
            raise OSError(5, "of the disk")
        return real(fd, size, at)

    monkeypatch.setattr(os, "pread", pread)

    with pytest.raises(OSError, match="of the disk"):
        place.copy()
    assert list((place.run / "given").iterdir()) == []
