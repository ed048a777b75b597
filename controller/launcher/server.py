"""The launcher: one thread, one poll; it forks supervisors, ahead of need, hands each a run, and reaps it.

Invariants: it never waits for a run, nor for a client. Killed at any moment it takes nothing along:
what was claimed goes on, and what was not may be asked for again, of its successor.
"""

import contextlib
import itertools
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections import deque
from dataclasses import dataclass

from controller.cgroup import choose
from controller.cgroup.lifecycle import Lifecycle
from controller.launcher import control, protocol, rehearsal, signals, supervisor
from controller.launcher.protocol import PROTOCOL_VERSION, Decoder, Message, ProtocolError
from controller.launcher.slots import NoSlot, Slot, SlotPool
from controller.launcher.supervisor import Post
from controller.linux import namespaces, process
from controller.linux.namespaces import LinuxNamespace
from controller.sandbox import seccomp

WARM = 4
"""Supervisors kept ready. Each costs some 5 MiB of memory, and makes a launch about 10 ms shorter."""
_IDLE_SECONDS = 0.03
_IDLE_WITHOUT_ANY_SECONDS = 0.002
"""Without an event for so long there is time to make one ready: not while a run that just started needs the CPUs."""
_READ_BYTES = 1 << 18
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


class Connection:
    """One client."""

    __slots__ = ("closing", "decoder", "out", "socket")

    def __init__(self, client: socket.socket) -> None:
        self.socket = client
        self.decoder = Decoder()
        self.out = bytearray()
        self.closing = False


@dataclass(slots=True)
class Request:
    """Who waits to hear of a run's claim."""

    connection: Connection
    request_id: object


class Child:
    """One supervisor: ready for a run, or with one. `cgroup` is what to remove after it, once the run is its own."""

    __slots__ = ("cgroup", "channel", "control_path", "decoder", "kept_fds", "parent", "pid", "request", "slot_number")

    def __init__(self, pid: int, slot_number: int, channel: socket.socket, control_path: str) -> None:
        self.pid = pid
        self.slot_number = slot_number
        self.control_path = control_path
        self.channel = channel
        self.decoder = Decoder()
        self.request: Request | None = None
        self.parent = ""
        self.cgroup = ""
        self.kept_fds: list[int] = []


class Launcher:
    """The fork server. `serve` returns when it is told to end; runs go on.

    Args:
        listener: listening, non-blocking; only its owner may connect.
        slots_dir: where slots are kept; it also has `stage`, where new roots are mounted for a moment.
        runs_niceness: of the jobs, whatever the launcher's own is.
    """

    def __init__(self, listener: socket.socket, slots_dir: str, runs_niceness: int) -> None:
        self._listener = listener
        self._runs_niceness = runs_niceness
        self._staging = f"{slots_dir}/stage"
        os.makedirs(self._staging, mode=0o700, exist_ok=True)
        self._slots = SlotPool(slots_dir)
        control.remove_abandoned(slots_dir)
        self._control_paths = (f"{slots_dir}/{control.PREFIX}{time.time_ns()}.{number}" for number in itertools.count())
        self._hierarchies = choose.hierarchies_of_host()
        self._lifecycles: dict[str, Lifecycle] = {}
        self._seccomp = seccomp.default_program(os.uname().machine)
        self._boot_id = process.boot_id()
        self._own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._own_mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._wakeup_fd = signals.wake_on(*_SIGNALS)
        self._connections: dict[int, Connection] = {}
        self._children: dict[int, Child] = {}
        self._by_channel: dict[int, Child] = {}
        self._warm: deque[Child] = deque()
        self._can_fork = True
        self._started = 0
        self._ending = False
        self._epoll = select.epoll()
        for fd in (listener.fileno(), self._wakeup_fd):
            self._epoll.register(fd, select.EPOLLIN)

    def serve(self) -> None:
        """Serve until a `shutdown` request or SIGTERM. Supervisors without a run end with the launcher."""
        while not self._ending:
            wanting = self._can_fork and len(self._warm) < WARM
            idle_seconds = _IDLE_SECONDS if self._warm else _IDLE_WITHOUT_ANY_SECONDS
            events = self._epoll.poll(idle_seconds if wanting else None)
            if not events and wanting:
                self._make_one_ready()
            for fd, event in events:
                self._dispatch(fd, event)
        for connection in list(self._connections.values()):
            self._flush(connection)

    def _make_one_ready(self) -> None:
        try:
            self._warm.append(self._fork(ahead=True))
            rehearsal.think()  # The fork has made every page one to copy again.
        except (OSError, NoSlot):
            # Not again before something has changed. A run that is asked for says why it cannot be.
            traceback.print_exc(file=sys.stderr)
            self._can_fork = False

    def _dispatch(self, fd: int, event: int) -> None:
        if fd == self._wakeup_fd:
            self._on_signal()
        elif fd == self._listener.fileno():
            self._accept()
        elif fd in self._by_channel:
            self._on_answer(self._by_channel[fd])
        elif fd in self._connections:
            connection = self._connections[fd]
            if event & select.EPOLLOUT:
                self._flush(connection)
            elif not connection.closing:
                self._receive(connection)

    def _on_signal(self) -> None:
        numbers = os.read(self._wakeup_fd, 4096)
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._ending = True
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._on_exit(pid)

    def _on_exit(self, pid: int) -> None:
        child = self._children.pop(pid)
        self._can_fork = True
        if child.channel.fileno() >= 0:
            self._on_answer(child)
        if child.channel.fileno() >= 0:  # There is no more of it to come.
            self._conclude(child, None)
        if child in self._warm:
            self._warm.remove(child)
        for fd in child.kept_fds:
            os.close(fd)
        with contextlib.suppress(FileNotFoundError):  # It was killed before it made it.
            os.unlink(child.control_path)
        self._slots.give_back(child.slot_number)
        if child.cgroup:
            # What is left of it, if anything, is found again by name and removed by the controller.
            with contextlib.suppress(OSError, ValueError):
                self._lifecycle(child.parent).remove(child.cgroup)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = self._listener.accept()
            client.settimeout(0)
            self._connections[client.fileno()] = Connection(client)
            self._epoll.register(client.fileno(), select.EPOLLIN)

    def _receive(self, connection: Connection) -> None:
        try:
            received = connection.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            received = b""
        if not received:
            self._disconnect(connection)
            return
        try:
            for message in connection.decoder.feed(received):
                self._answer(connection, message)
        except ProtocolError as error:
            connection.closing = True
            self._send(connection, {"id": None, "error": str(error), "kind": "protocol"})

    def _answer(self, connection: Connection, message: Message) -> None:
        request_id = message.get("id")
        match message:
            case {"op": "start", "spec": dict(plain)}:
                self._start(connection, request_id, plain)
            case {"op": "hello", "version": version} if version != PROTOCOL_VERSION:
                cause = f"this launcher speaks version {PROTOCOL_VERSION} of the protocol, not {version!r}"
                self._send(connection, {"id": request_id, "error": cause, "kind": "version"})
            case {"op": "hello" | "ping"}:
                self._send(connection, {"id": request_id, "version": PROTOCOL_VERSION, "pid": os.getpid()})
            case {"op": "status"}:
                counts = {
                    "running": len(self._children) - len(self._warm),
                    "warm": len(self._warm),
                    "started": self._started,
                    "clients": len(self._connections),
                }
                self._send(connection, {"id": request_id, **counts})
            case {"op": "shutdown"}:
                self._ending = True
                self._send(connection, {"id": request_id})
            case _:
                raise ProtocolError(
                    f"cannot do {message.get('op')!r:.80}: there is no such request, or it lacks something"
                )

    def _start(self, connection: Connection, request_id: object, plain: Message) -> None:
        parent, cgroup = str(plain.get("cgroup_parent")), str(plain.get("cgroup"))
        try:
            self._lifecycle(parent)
            child = self._hand_over(protocol.encode(plain))
        except (OSError, NoSlot) as error:
            self._send(connection, {"id": request_id, "error": str(error), "kind": "failed"})
        except ValueError as error:
            self._send(connection, {"id": request_id, "error": str(error), "kind": "invalid"})
        else:
            child.request, child.parent, child.cgroup = Request(connection, request_id), parent, cgroup
            self._started += 1

    def _hand_over(self, run: bytes) -> Child:
        """Give a run to a supervisor, and to another if that has been killed while it was ready."""
        while self._warm:
            child = self._warm.popleft()
            with contextlib.suppress(OSError):
                child.channel.sendall(run)
                return child
        child = self._fork(ahead=False)
        child.channel.sendall(run)
        return child

    def _fork(self, *, ahead: bool) -> Child:
        """Fork a supervisor, as the first process of a new pid namespace."""
        slot = self._slots.take()
        control_path = next(self._control_paths)
        ours, theirs = socket.socketpair()
        pid = 0
        try:
            namespaces.unshare(LinuxNamespace.PID)
            pid = os.fork()
            if pid == 0:
                _be_a_supervisor(self._post(slot, theirs, ours, control_path, ahead=ahead))
        finally:
            # Else a second unshare answers EINVAL: a process may be one namespace ahead of itself, no more.
            namespaces.enter(self._own_pid_namespace, LinuxNamespace.PID)
            theirs.close()
            os.close(slot.lock_fd)
            if pid == 0:
                ours.close()
                self._slots.give_back(slot.number)
        child = Child(pid, slot.number, ours, control_path)
        self._children[pid] = child
        self._by_channel[ours.fileno()] = child
        self._epoll.register(ours.fileno(), select.EPOLLIN)
        return child

    def _post(self, slot: Slot, channel: socket.socket, ours: socket.socket, control_path: str, *, ahead: bool) -> Post:
        sockets = (self._listener, ours, *(one.socket for one in self._connections.values()))
        channels = (child.channel for child in self._by_channel.values())
        fds = [one.fileno() for one in (*sockets, *channels)]
        fds += [fd for child in self._children.values() for fd in child.kept_fds]
        fds += [self._epoll.fileno(), self._wakeup_fd, self._own_pid_namespace]
        return Post(
            slot,
            channel,
            self._hierarchies,
            self._lifecycles,
            self._seccomp,
            self._staging,
            control_path,
            self._boot_id,
            self._own_mounts,
            self._runs_niceness,
            ahead,
            tuple(fds),
        )

    def _lifecycle(self, parent: str) -> Lifecycle:
        if parent not in self._lifecycles:
            self._lifecycles[parent] = choose.open_lifecycle(self._hierarchies, parent)
        return self._lifecycles[parent]

    def _on_answer(self, child: Child) -> None:
        """Pass on what the supervisor says of its claim, or that it ended without a word."""
        answer: Message | None = None
        try:
            received, fds, _, _ = socket.recv_fds(child.channel, _READ_BYTES, 1, socket.MSG_DONTWAIT)
            child.kept_fds += fds
            answer = next(child.decoder.feed(received), None)
            if answer is None and received:
                return  # The rest of it is on its way.
        except BlockingIOError:
            return  # The event was of a channel that had the same descriptor, and was closed just before.
        except ConnectionError:
            pass
        self._conclude(child, answer)

    def _conclude(self, child: Child, answer: Message | None) -> None:
        self._epoll.unregister(child.channel.fileno())
        del self._by_channel[child.channel.fileno()]
        child.channel.close()
        if answer is None:
            cause = "the run's supervisor ended before it could claim the run: see the launcher's log"
            answer = {"error": cause, "kind": "failed"}
        if answer.get("claimed") is not False:
            child.cgroup = ""  # Not its own, so not ours to remove.
        if child.request is not None:
            self._send(child.request.connection, {"id": child.request.request_id, **answer})

    def _send(self, connection: Connection, message: Message) -> None:
        if connection.socket.fileno() >= 0:
            connection.out += protocol.encode(message)
            self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        try:
            while connection.out:
                del connection.out[: connection.socket.send(connection.out)]
        except BlockingIOError:
            self._epoll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
            return
        except ConnectionError:
            self._disconnect(connection)
            return
        if connection.closing:
            self._disconnect(connection)
        else:
            self._epoll.modify(connection.socket.fileno(), select.EPOLLIN)

    def _disconnect(self, connection: Connection) -> None:
        fd = connection.socket.fileno()
        if fd >= 0:
            # Before the close: a supervisor being set up has a copy, which would keep it armed.
            self._epoll.unregister(fd)
            del self._connections[fd]
            connection.socket.close()


def _be_a_supervisor(post: Post) -> None:
    """Never returns: whatever happens, this process must not go on as a second launcher."""
    code = 1
    try:
        supervisor.supervise(post)
        code = 0
    except BaseException:  # noqa: BLE001 - reported where it can be
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)
