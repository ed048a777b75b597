"""The launcher: one thread, one poll; it forks supervisors, ahead of need, hands each a run, and reaps it.

Invariants: it never waits for a run, a client, or a supervisor. Killed at any moment it takes nothing along:
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

from controller.cgroup import choose
from controller.cgroup.lifecycle import Lifecycle
from controller.launcher import control, joining, protocol, run_cgroup, signals
from controller.launcher.children import Child, Connection, HandedOver, Request
from controller.launcher.clients import Clients
from controller.launcher.joining import Joiner
from controller.launcher.nursery import Equipment, Nursery, NurseryGone
from controller.launcher.pool import Fork, Make, Pool, Retire, Step
from controller.launcher.protocol import PROTOCOL_VERSION, Message, ProtocolError
from controller.launcher.receipt import Surroundings
from controller.launcher.slots import NoSlot, SlotPool
from controller.launcher.supervisor import Likely
from controller.linux import process
from controller.sandbox import seccomp

WARM = 4
"""Supervisors kept ready. Each costs some 5 MiB of memory, and makes a launch about 10 ms shorter."""
_IDLE_SECONDS = 0.03
_IDLE_WITHOUT_ANY_SECONDS = 0.002
"""So long after the last start there is time to make one ready: not while a run that just started needs the CPUs."""
STAGE = "stage"
_READ_BYTES = 1 << 16  # Of more, each buffer were mapped, and unmapped again.
_MOST_KEPT = 2
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


class Launcher:
    """The fork server. `serve` returns when it is told to end; runs go on.

    Args:
        listener: listening, non-blocking; only its owner may connect.
        own_dir: this launcher's: its runs' control FIFOs, and `stage`, where new roots are mounted for a moment.
        runs_niceness: of the jobs, whatever the launcher's own is.
    """

    def __init__(self, listener: socket.socket, own_dir: str, runs_niceness: int) -> None:
        self._runs_niceness = runs_niceness
        staging = f"{own_dir}/{STAGE}"
        os.makedirs(staging, mode=0o700, exist_ok=True)
        self._slots = SlotPool()
        control.remove_abandoned(own_dir)
        self._control_paths = (f"{own_dir}/{control.PREFIX}{time.time_ns()}.{number}" for number in itertools.count())
        self._hierarchies = choose.hierarchies_of_host()
        self._lifecycles: dict[str, Lifecycle] = {}
        self._seccomp = seccomp.default_program(os.uname().machine)
        own_mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._nursery = Nursery(
            Equipment(
                self._hierarchies, self._seccomp, staging, process.boot_id(), own_mounts, runs_niceness,
                Surroundings.look(),
            )
        )  # fmt: skip
        self._wakeup_fd = signals.wake_on(*_SIGNALS)
        self._children: dict[int, Child] = {}
        self._by_channel: dict[int, Child] = {}
        self._pool = Pool(WARM)
        self._handed_over = HandedOver()
        self._likely = Likely(own_dir)
        self._can_fork = True
        self._started = 0
        self._last_start = 0.0
        self._ending = False
        self._epoll = select.epoll()
        self._epoll.register(self._wakeup_fd, select.EPOLLIN)
        self._clients = Clients(listener, self._epoll, self._answer)

    def serve(self) -> None:
        """Serve until a `shutdown` request or SIGTERM. Supervisors without a run end with the launcher."""
        while not self._ending:
            for fd, event in self._epoll.poll(self._seconds_to_wait()):
                self._dispatch(fd, event)
            for child in self._handed_over.take_stuck(time.monotonic()):
                self._on_stuck(child)
            if self._seconds_until_calm() == 0.0:
                self._take(self._next_step())
        self._clients.flush()

    def _seconds_to_wait(self) -> float | None:
        waits = (self._seconds_until_calm(), self._handed_over.seconds_left(time.monotonic()))
        return min((wait for wait in waits if wait is not None), default=None)

    def _seconds_until_calm(self) -> float | None:
        """Return how long until there is time to make something ready; None if there is nothing to be made."""
        if self._next_step() is None:
            return None
        idle_seconds = _IDLE_SECONDS if len(self._pool) else _IDLE_WITHOUT_ANY_SECONDS
        now = time.monotonic()
        return max(0.0, self._last_start + idle_seconds - now, self._pool.pause_seconds(now))

    def _next_step(self) -> Step | None:
        return self._pool.next_step(time.monotonic()) if self._can_fork else None

    def _take(self, step: Step | None) -> None:
        match step:
            case None:
                pass
            case Fork():
                self._make_one_ready()
            case Make(child, shared):
                child.made = shared
                with contextlib.suppress(OSError):  # It has ended, which will be heard of.
                    self._tell(child, protocol.encode({"op": "make"}, shared))
            case Retire(child):
                self._pool.remove(child)
                self._let_go(child)

    def _make_one_ready(self) -> None:
        try:
            self._pool.add(self._fork())
        except (OSError, NoSlot):
            # Not again before something has changed. A run that is asked for says why it cannot be.
            traceback.print_exc(file=sys.stderr)
            self._can_fork = False
            return
        step = self._next_step()
        if isinstance(step, Make):
            self._take(step)

    def _dispatch(self, fd: int, event: int) -> None:
        if fd == self._wakeup_fd:
            self._on_signal()
        elif fd in self._by_channel:
            self._on_channel(self._by_channel[fd], event)
        else:
            self._clients.on_event(fd, event)

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
        child = self._children.pop(pid, None)
        if child is None:  # An attendant, the nursery, or what a nursery forked that ended before it told of it.
            return
        self._can_fork = True
        if child.channel.fileno() >= 0:
            self._on_answer(child)
        if child.channel.fileno() >= 0:  # There is no more of it to come.
            self._conclude(child, None)
        self._pool.ended(child, time.monotonic())
        for fd in child.kept_fds:
            os.close(fd)
        with contextlib.suppress(FileNotFoundError):  # It was killed before it made it.
            os.unlink(child.control_path)
        self._slots.give_back(child.slot_number)
        # What is left of them, if anything, is found again by name and removed by the controller, or the next launcher.
        blank = run_cgroup.blank_name(child.slot_number)
        for parent, name in ((child.parent, child.cgroup), (child.blank_parent, blank)):
            with contextlib.suppress(OSError, ValueError):
                if parent and name:
                    self._lifecycle(parent).remove(name)

    def _answer(self, connection: Connection, message: Message) -> None:
        request_id = message.get("id")
        match message:
            case {
                "op": "start",
                "parent": str(parent),
                "cgroup": str(cgroup),
                "ahead": bool(ahead),
                protocol.ATTACHED: (bytes(own), bytes(shared)),
            }:
                request = Request(connection, request_id, parent, cgroup, own, shared, ahead)
                self._start(request, str(message.get("near", self._likely.near)))
            case {"op": "hello", "version": version} if version != PROTOCOL_VERSION:
                cause = f"this launcher speaks version {PROTOCOL_VERSION} of the protocol, not {version!r}"
                self._clients.send(connection, {"id": request_id, "error": cause, "kind": "version"})
            case {"op": "hello" | "ping"}:
                self._clients.send(connection, {"id": request_id, "version": PROTOCOL_VERSION, "pid": os.getpid()})
            case {"op": "status"}:
                warm, made = len(self._pool), self._pool.count_made()
                counts = {"running": len(self._children) - warm, "warm": warm, "made": made, "started": self._started}
                self._clients.send(connection, {"id": request_id, **counts, "clients": len(self._clients)})
            case {"op": "join", protocol.ATTACHED: (bytes(text),)}:
                self._join(connection, request_id, text)
            case {"op": "shutdown"}:
                self._ending = True
                self._clients.send(connection, {"id": request_id})
            case _:
                raise ProtocolError(
                    f"cannot do {message.get('op')!r:.80}: there is no such request, or it lacks something"
                )

    def _start(self, request: Request, near: str) -> None:
        try:
            self._lifecycle(request.cgroup_parent)
            self._likely = Likely(near, request.cgroup_parent)
            child = self._hand_over(request)
        except (OSError, NoSlot) as error:
            self._clients.send(request.connection, {"id": request.request_id, "error": str(error), "kind": "failed"})
        except ValueError as error:
            self._clients.send(request.connection, {"id": request.request_id, "error": str(error), "kind": "invalid"})
        else:
            child.request, child.parent, child.cgroup = request, request.cgroup_parent, request.cgroup
            self._started += 1

    def _join(self, connection: Connection, request_id: object, text: bytes) -> None:
        """Leave the connection to a process that goes into a run, and know no more of either."""
        fds = connection.take_fds()
        own = Joiner(connection.socket, text, fds, self._hierarchies, self._seccomp, self._runs_niceness)
        try:
            joining.fork_attendant(own)
        except OSError as error:
            self._clients.send(connection, {"id": request_id, "error": str(error), "kind": "failed"})
        else:
            self._clients.disconnect(connection)

    def _hand_over(self, request: Request) -> Child:
        """Give a run to a supervisor, and to another if that has been killed while it was ready, or hangs."""
        self._last_start = time.monotonic()
        self._pool.note(request.shared, self._last_start, ahead=request.ahead)
        for child in self._pool.candidates(request.shared):
            attached = (request.own, request.shared) if child.made is None else (request.own,)
            with contextlib.suppress(OSError):
                self._tell(child, protocol.encode({"op": "run"}, *attached))
                self._handed_over.add(child, self._last_start)
                return child
        child = self._fork()
        self._tell(child, protocol.encode({"op": "run"}, request.own, request.shared))
        return child

    def _tell(self, child: Child, message: bytes) -> None:
        if not child.tell(message):
            self._epoll.modify(child.channel.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _fork(self) -> Child:
        """Have a supervisor forked, as the first process of a new pid namespace."""
        try:
            return self._fork_once()
        except NurseryGone:
            return self._fork_once()

    def _fork_once(self) -> Child:
        slot = self._slots.take()
        control_path = next(self._control_paths)
        ours, theirs = socket.socketpair()
        try:
            pid = self._nursery.fork(slot, theirs, control_path, self._lifecycles, self._likely)
        except BaseException:
            ours.close()
            self._slots.give_back(slot.number)
            raise
        finally:
            theirs.close()
            os.close(slot.lock_fd)
        ours.settimeout(0)
        child = Child(pid, slot.number, ours, control_path, self._likely.cgroup_parent)
        self._children[pid] = child
        self._by_channel[ours.fileno()] = child
        self._epoll.register(ours.fileno(), select.EPOLLIN)
        return child

    def _lifecycle(self, parent: str) -> Lifecycle:
        if parent not in self._lifecycles:
            lifecycle = self._lifecycles[parent] = choose.open_lifecycle(self._hierarchies, parent)
            with contextlib.suppress(OSError):  # Of a launcher that was killed, and all its supervisors with it.
                lifecycle.remove_blanks()
        return self._lifecycles[parent]

    def _on_channel(self, child: Child, event: int) -> None:
        if event & select.EPOLLOUT:
            with contextlib.suppress(OSError):  # It has ended, which will be heard of.
                if child.flush():
                    self._epoll.modify(child.channel.fileno(), select.EPOLLIN)
        if event & ~select.EPOLLOUT:
            self._on_answer(child)

    def _on_answer(self, child: Child) -> None:
        """Pass on what the supervisor says of its claim, or that it ended without a word."""
        answer: Message | None = None
        try:
            received, fds, _, _ = socket.recv_fds(child.channel, _READ_BYTES, _MOST_KEPT, socket.MSG_DONTWAIT)
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
        self._let_go(child)
        request, child.request = child.request, None
        if answer is not None and answer.get("stale"):
            self._on_stale(child, request)
            return
        if answer is None:
            cause = "the run's supervisor ended before it said that it had claimed the run: see the launcher's log"
            answer = {"error": cause, "kind": "failed"}
        if answer.get("claimed") is not False:
            child.cgroup = ""  # Not its own, so not ours to remove.
        if request is not None:
            self._clients.send(request.connection, {"id": request.request_id, **answer})

    def _on_stale(self, child: Child, request: Request | None) -> None:
        """See to it that nobody is given a run any more who made the same, and give this run, if any, to another."""
        child.cgroup = ""
        self._pool.remove(child)
        for other in self._pool.forget(child.made):
            self._let_go(other)
        if request is not None:
            self._started -= 1
            self._start(request, self._likely.near)

    def _on_stuck(self, child: Child) -> None:
        """End one that hangs, with those that made the same, and give its run, which it has not read, to another."""
        request, child.request = child.request, None
        for each in (child, *self._pool.forget(child.made)):
            each.kill()
            self._let_go(each)
        self._on_stale(child, request)

    def _let_go(self, child: Child) -> None:
        """Have no more to say to it: if it has no run so far, it ends."""
        self._epoll.unregister(child.channel.fileno())
        del self._by_channel[child.channel.fileno()]
        child.channel.close()
