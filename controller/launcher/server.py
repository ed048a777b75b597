"""The launcher: one thread, one poll; it forks a supervisor for each run asked for, and reaps it.

Invariants: it never waits for a run, nor for a client. Killed at any moment it takes nothing along:
what was claimed goes on, and what was not may be asked for again, of its successor.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import traceback
from dataclasses import dataclass

from controller.cgroup import choose
from controller.cgroup.lifecycle import CgroupError, Lifecycle
from controller.launcher import protocol, runspec, signals, supervisor
from controller.launcher.protocol import PROTOCOL_VERSION, Decoder, Message, ProtocolError
from controller.launcher.runspec import RunSpec
from controller.launcher.slots import NoSlot, SlotPool
from controller.launcher.supervisor import Assignment
from controller.linux import namespaces, process
from controller.linux.namespaces import LinuxNamespace
from controller.sandbox import seccomp

_IDLE_SECONDS = 0.02
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
class Child:
    """One supervisor, and who waits to hear of its claim. `status_fd` is -1 once it was heard of."""

    pid: int
    slot_number: int
    lifecycle: Lifecycle
    cgroup: str
    connection: Connection
    request_id: object
    status_fd: int
    owns_run: bool = False


class Launcher:
    """The fork server. `serve` returns when it is told to end; runs go on.

    Args:
        listener: listening, non-blocking; only its owner may connect.
        slots_dir: where slots are kept; it also has `stage`, where new roots are mounted for a moment.
    """

    def __init__(self, listener: socket.socket, slots_dir: str) -> None:
        self._listener = listener
        self._staging = f"{slots_dir}/stage"
        os.makedirs(self._staging, mode=0o700, exist_ok=True)
        self._slots = SlotPool(slots_dir)
        self._hierarchies = choose.hierarchies_of_host()
        self._lifecycles: dict[str, Lifecycle] = {}
        self._seccomp = seccomp.default_program(os.uname().machine)
        self._boot_id = process.boot_id()
        self._own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._wakeup_fd = signals.wake_on(*_SIGNALS)
        self._connections: dict[int, Connection] = {}
        self._children: dict[int, Child] = {}
        self._by_status_fd: dict[int, Child] = {}
        self._started = 0
        self._ending = False
        self._epoll = select.epoll()
        for fd in (listener.fileno(), self._wakeup_fd):
            self._epoll.register(fd, select.EPOLLIN)

    def serve(self) -> None:
        """Serve until a `shutdown` request or SIGTERM."""
        while not self._ending:
            events = self._epoll.poll(_IDLE_SECONDS)
            if not events and not self._slots.make_spare():
                events = self._epoll.poll()
            for fd, event in events:
                self._dispatch(fd, event)
        for connection in list(self._connections.values()):
            self._flush(connection)

    def _dispatch(self, fd: int, event: int) -> None:
        if fd == self._wakeup_fd:
            self._on_signal()
        elif fd == self._listener.fileno():
            self._accept()
        elif fd in self._by_status_fd:
            self._on_status(self._by_status_fd[fd])
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
        if child.status_fd >= 0:
            self._on_status(child)
        self._slots.give_back(child.slot_number)
        if child.owns_run:
            # What is left of it, if anything, is found again by name and removed by the controller.
            with contextlib.suppress(CgroupError):
                child.lifecycle.remove(child.cgroup)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = self._listener.accept()
            client.setblocking(False)
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
            case {"op": "start", "spec": plain}:
                self._start(connection, request_id, plain)
            case {"op": "hello", "version": version} if version != PROTOCOL_VERSION:
                cause = f"this launcher speaks version {PROTOCOL_VERSION} of the protocol, not {version!r}"
                self._send(connection, {"id": request_id, "error": cause, "kind": "version"})
            case {"op": "hello" | "ping"}:
                self._send(connection, {"id": request_id, "version": PROTOCOL_VERSION, "pid": os.getpid()})
            case {"op": "status"}:
                counts = {"running": len(self._children), "started": self._started, "clients": len(self._connections)}
                self._send(connection, {"id": request_id, **counts})
            case {"op": "shutdown"}:
                self._ending = True
                self._send(connection, {"id": request_id})
            case _:
                raise ProtocolError(
                    f"cannot do {message.get('op')!r:.80}: there is no such request, or it lacks something"
                )

    def _start(self, connection: Connection, request_id: object, plain: object) -> None:
        try:
            spec = runspec.from_plain(plain)
        except ValueError as error:
            self._send(connection, {"id": request_id, "error": str(error), "kind": "invalid"})
            return
        try:
            child = self._fork(spec, connection, request_id)
        except (OSError, NoSlot) as error:
            self._send(connection, {"id": request_id, "error": str(error), "kind": "failed"})
            return
        self._started += 1
        self._children[child.pid] = child
        self._by_status_fd[child.status_fd] = child
        self._epoll.register(child.status_fd, select.EPOLLIN)

    def _fork(self, spec: RunSpec, connection: Connection, request_id: object) -> Child:
        lifecycle = self._lifecycle(spec.cgroup_parent)
        slot = self._slots.take()
        status_read, status_write = os.pipe2(os.O_CLOEXEC)
        try:
            namespaces.unshare(LinuxNamespace.PID)
            pid = os.fork()
            if pid == 0:
                assignment = Assignment(
                    spec, slot, lifecycle, self._seccomp, self._staging, self._boot_id, status_write
                )
                _be_the_supervisor(assignment)
        except OSError:
            os.close(status_read)
            self._slots.give_back(slot.number)
            raise
        finally:
            # Else a second unshare answers EINVAL: a process may be one namespace ahead of itself, no more.
            namespaces.enter(self._own_pid_namespace, LinuxNamespace.PID)
            os.close(status_write)
            os.close(slot.lock_fd)
        return Child(pid, slot.number, lifecycle, spec.cgroup, connection, request_id, status_read)

    def _lifecycle(self, parent: str) -> Lifecycle:
        if parent not in self._lifecycles:
            try:
                self._lifecycles[parent] = choose.open_lifecycle(self._hierarchies, parent)
            except ValueError as error:
                raise OSError(22, str(error)) from error
        return self._lifecycles[parent]

    def _on_status(self, child: Child) -> None:
        """Pass on what the supervisor says of its claim, or that it ended without a word."""
        with open(child.status_fd, "rb", closefd=False) as file:
            received = file.read()  # All of it: the supervisor closes its end with its one message.
        self._epoll.unregister(child.status_fd)
        del self._by_status_fd[child.status_fd]
        os.close(child.status_fd)
        child.status_fd = -1
        messages = list(Decoder().feed(received))
        if not messages:
            cause = "the run's supervisor ended before it could claim the run: see the launcher's log"
            self._send(child.connection, {"id": child.request_id, "error": cause, "kind": "failed"})
            return
        child.owns_run = messages[0].get("claimed") is False
        self._send(child.connection, {"id": child.request_id, **messages[0]})

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


def _be_the_supervisor(assignment: Assignment) -> None:
    """Never returns: whatever happens, this process must not go on as a second launcher."""
    code = 1
    try:
        supervisor.supervise(assignment)
        code = 0
    except BaseException:  # noqa: BLE001 - reported where it can be
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)
