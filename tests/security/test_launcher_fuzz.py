"""The launcher and its supervisors given nonsense: bytes on the socket, run specs, and trees that mean harm.

Whatever it is: the launcher goes on, nothing is left on the host, and no file of the host is changed or shown.
Seeds are fixed, so a failure comes again; `make test-slow` tries many more.
"""

import json
import os
import random
import shutil
import socket
import stat
import struct
from itertools import chain

import pytest

from controller.launcher import protocol
from controller.launcher.client import LauncherError, RunRefused
from controller.launcher.runspec import to_parts
from controller.sandbox.spec import Bind, PrivateCopy, Scratch
from support.launching import MIB, host_sandbox

pytestmark = pytest.mark.needs_root

WORDS = (b"{", b"}", b'"op"', b'"start"', b":", b",", b"[", b"]", b"null", b"\n", b"\xff", b"1e999", b'"\\ud800"', b"-")
VALUES = (None, True, -1, 0, 2**63, 2**200, 1.5, "", "x", "/", "../..", "\0", "a" * 5000, [], {}, [[]], {"": None})


def some_bytes(chance: random.Random) -> bytes:
    return b"".join(chance.choice(WORDS) for _ in range(chance.randrange(30)))


def some_frames(chance: random.Random) -> bytes:
    """Frames of all kinds: whole, cut, of a false length, of a request that lacks something."""
    frames = b""
    for _ in range(chance.randrange(1, 6)):
        ops = ("start", "hello", "ping", "status", "make", "run", "stale", 7)
        fields = {"op": chance.choice(ops), "id": chance.choice(VALUES)}
        fields |= {name: chance.choice(VALUES) for name in ("parent", "cgroup", "ahead") if chance.random() < 0.7}
        body = json.dumps(fields).encode() if chance.random() < 0.7 else some_bytes(chance)
        for _ in range(chance.randrange(4)):
            body += b"\n" + some_bytes(chance).replace(b"\n", b"")
        length = chance.choice((len(body), len(body), len(body), 0, len(body) + 9, protocol.MAX_MESSAGE_BYTES + 1))
        frames += struct.pack(">I", length) + body
    return frames[: chance.randrange(1, len(frames) + 1)] if chance.random() < 0.3 else frames


def talk(launching, sent: bytes) -> None:
    """Say it, and hear the launcher out until it has nothing more to say."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(launching.root / "launcher.sock"))
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass
        except ConnectionError:
            pass


def as_before(launching, pid: int) -> bool:
    """Whether the launcher is the same process, runs what it is given, and has no client but us."""
    return (
        launching.run("echo", "still here")[1] == "still here\n"
        and launching.client.ping() == pid
        and launching.client.status()["clients"] == 1
    )


def nonsense_on_the_socket(launching, times: int) -> None:
    for seed in range(times):
        talk(launching, some_frames(random.Random(seed)))


def test_nonsense_on_its_socket_leaves_the_launcher_as_it_was(launching):
    pid = launching.client.ping()

    nonsense_on_the_socket(launching, 150)

    assert as_before(launching, pid)


@pytest.mark.slow
def test_much_nonsense_on_its_socket_leaves_the_launcher_as_it_was(launching):
    pid = launching.client.ping()

    nonsense_on_the_socket(launching, 20_000)

    assert as_before(launching, pid)


def changed(chance: random.Random, value: object) -> object:
    """`value` with one thing in it, somewhere, replaced, removed or added."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        name = chance.choice(sorted(value))
        match chance.randrange(4):
            case 0:
                return {key: one for key, one in value.items() if key != name}
            case 1:
                return {**value, chance.choice(("x", "", "read_only", "within")): chance.choice(VALUES)}
            case _:
                return {**value, name: changed(chance, value[name])}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return [*value[:at], changed(chance, value[at]), *value[at + 1 :]]
    return chance.choice(VALUES)


def changed_specs(launching, times: int) -> None:
    for seed in range(times):
        chance = random.Random(seed)
        spec = launching.spec("true")
        parts = to_parts(spec)
        own, shared = json.loads(parts.own), json.loads(parts.shared)
        kept = {name: own[name] for name in ("run_dir", "log_dir", "cgroup", "cgroup_parent", "run_id")}
        if chance.random() < 0.5:
            own = changed(chance, own)
            # Where a run's records and its cgroup are is the controller's word, and root's alone: not changed here.
            own = {**own, **kept} if isinstance(own, dict) else own
        else:
            shared = changed(chance, shared)
        lines = tuple(json.dumps(one).encode() for one in (own, shared))
        request = {"op": "start", "parent": spec.cgroup_parent, "cgroup": spec.cgroup, "ahead": chance.random() < 0.5}
        try:
            launching.client._ask(request, *lines)
        except (RunRefused, LauncherError):
            continue
        # It could be read after all: then it runs or says why not, and ends.
        launching.stop(spec)
        assert launching.record_of(spec).reason


def test_a_run_spec_that_is_not_quite_one_is_refused_or_runs(launching):
    pid = launching.client.ping()

    changed_specs(launching, 60)

    assert as_before(launching, pid)


@pytest.mark.slow
def test_thousands_of_run_specs_that_are_not_quite_one_are_refused_or_run(launching):
    pid = launching.client.ping()

    changed_specs(launching, 3000)

    assert as_before(launching, pid)


NAMES = ("bin", "lib", "etc", "usr", "data", "proc", "dev", "tmp", "work", "a b", "x\n", "é", "..x")


def hostile_tree(chance: random.Random, tree: str, outside: str) -> None:
    """Directories, files, devices, pipes and links in all directions, in ten thousand years by nobody's hand."""
    os.makedirs(tree)
    places = [tree]
    for _ in range(chance.randrange(3, 25)):
        path = os.path.join(chance.choice(places), chance.choice(NAMES))
        if os.path.lexists(path):
            continue
        match chance.randrange(8):
            case 0 | 1:
                os.mkdir(path, chance.choice((0o755, 0o000, 0o7777)))
                places.append(path)
            case 2:
                with open(path, "w") as file:
                    file.write("inside")
                os.chmod(path, chance.choice((0o644, 0o4755, 0)))
            case 3:
                os.mkfifo(path)
            case 4:
                os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
            case _:
                up = "/".join([".."] * chance.randrange(1, 14))
                ways = (outside, "/etc", "/", f"{up}{outside}", f"{up}/etc/shadow", "/proc/self/root", "/proc/1/cwd")
                os.symlink(chance.choice((*ways, "/proc/self/fd/3", chance.choice(NAMES), up, path)), path)


def some_mount(chance: random.Random, tree: str, number: int):
    made = [os.path.relpath(f"{at}/{name}", tree) for at, *kinds in os.walk(tree) for name in chain(*kinds)]
    source = chance.choice(made) if made and chance.random() < 0.9 else "/".join(chance.choices((*NAMES, ".."), k=3))
    below = "/".join(chance.choices((*NAMES[:9], ".."), k=chance.randrange(1, 3)))
    target = f"/opt/{number}" if chance.random() < 0.7 else f"{chance.choice(('', '/opt/0', '/usr'))}/{below}"
    match chance.randrange(5):
        case 0:
            return PrivateCopy(source, target, MIB, within=tree)
        case 1:
            return Scratch(target, MIB)
        case 2:
            return Bind(tree, target)
        case _:
            return Bind(source, target, within=tree)


def hostile_trees(launching, times: int) -> int:
    """Return how many of them ran."""
    outside = launching.root / "outside"
    outside.mkdir()
    (outside / "canary").write_text("of the host")
    ran = 0
    for seed in range(times):
        chance = random.Random(seed)
        tree = launching.root / f"tree{seed}"
        hostile_tree(chance, str(tree), str(outside))
        mounts = [some_mount(chance, str(tree), number) for number in range(chance.randrange(1, 4))]
        host = host_sandbox()
        sandbox = host_sandbox(
            binds=(*host.binds, *(one for one in mounts if isinstance(one, Bind))),
            private_copies=tuple(one for one in mounts if isinstance(one, PrivateCopy)),
            scratches=tuple(one for one in mounts if isinstance(one, Scratch)),
        )
        look = f"find /opt /tmp /work /usr/data -name canary 2>&1; cat /opt/*/canary; ls {outside}"

        record, output = launching.shell(look, sandbox=sandbox)

        assert record.reason in ("SandboxFailed", "ContainerCannotRun", "Completed", "Error"), (seed, record)
        assert "canary" not in output, seed
        assert "of the host" not in output, seed
        ran += record.reason in ("Completed", "Error")
        shutil.rmtree(tree)
        assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("canary", "of the host")], seed
    return ran


def test_no_hostile_tree_shows_or_changes_a_file_of_the_host(launching):
    assert hostile_trees(launching, 60) > 5


@pytest.mark.slow
def test_no_hostile_tree_of_thousands_shows_or_changes_a_file_of_the_host(launching):
    assert hostile_trees(launching, 3000) > 300
