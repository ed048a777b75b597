"""Slots: each a range of the host's user ids that belongs to one run at a time, and its user namespace.

Slot N is byte N of one file of the host, locked for an open file of its own. The lock goes with that to the run's
supervisor, which keeps it for life, so that no launcher gives the slot away while the run lives: neither one started
later nor one of another root: see `linux.ofd_lock`.

Ids: slot N is 65536 ids from 0x70000000 + N * 65536 up. That lies above what useradd gives out as subordinate
ids (to 600100000) and systemd as containers' (to 0x6FFFFFFF), and below systemd's foreign ids
(0x7FFE0000) and 2^31, beyond which some programs count wrong.
Source: systemd's UIDS-GIDS.md; login.defs(5), SUB_UID_MAX.
"""

import errno
import os
from collections import deque
from itertools import chain

from controller.linux import ofd_lock, user_namespace
from controller.linux.user_namespace import IdMap

FIRST_ID = 0x70000000
IDS_PER_SLOT = 65536
SLOTS = 4000
OWNERS_ID = 65532
"""Who owns the slot's user namespace, of its own ids; no process has it outside. What the kernel counts by user, it
counts for the owner of a namespace as well: were that root, a run could use up what root may have of inotify."""
HOST_FILE = "/run/runwright.slots"
"""Where the slots of this host are: the ids are the host's, so all launchers on it share them."""

MOST_IDLE = 32
"""So many user namespaces are kept for runs to come, however many there were at once."""
_ATTEMPTS = 100


class NoSlot(Exception):
    """Every slot is in use."""


class Slot:
    """One slot, locked: `lock_fd` is to be kept by the supervisor and closed by the launcher."""

    __slots__ = ("lock_fd", "number", "user_namespace_fd")

    def __init__(self, number: int, lock_fd: int, user_namespace_fd: int) -> None:
        self.number = number
        self.lock_fd = lock_fd
        self.user_namespace_fd = user_namespace_fd

    @property
    def host_base(self) -> int:
        """The host's id that is 0 in this slot."""
        return FIRST_ID + self.number * IDS_PER_SLOT


class SlotPool:
    """The slots of one file, as one launcher sees them; not thread-safe.

    The one longest out of use is taken first: a user namespace just left by a run is still busy being cleaned up.
    """

    def __init__(self, path: str = HOST_FILE) -> None:
        self._path = path
        self._idle: deque[int] = deque()  # Numbers this launcher has a namespace of, oldest first.
        self._user_namespaces: dict[int, int] = {}
        self._next = 0

    def take(self) -> Slot:
        """Return a free slot, locked.

        Raises:
            NoSlot: there is none.
            OSError: its file or its namespace cannot be made.
        """
        for _ in range(len(self._idle)):
            number = self._idle.popleft()
            lock_fd = self._lock(number)
            if lock_fd is not None:
                return Slot(number, lock_fd, self._user_namespaces[number])
            self._idle.append(number)
        return self._take_new()

    def give_back(self, number: int) -> None:
        """Note that the run in slot `number` has ended."""
        self._idle.append(number)
        if len(self._idle) > MOST_IDLE:
            os.close(self._user_namespaces.pop(self._idle.popleft()))

    def _take_new(self) -> Slot:
        # From where the last search ended, and round: an earlier launcher's run may have ended since.
        for number in chain(range(self._next, SLOTS), range(self._next)):
            if number in self._user_namespaces:
                continue
            lock_fd = self._lock(number)
            if lock_fd is None:
                continue
            self._next = number + 1
            try:
                base = FIRST_ID + number * IDS_PER_SLOT
                id_map = IdMap(base, IDS_PER_SLOT, host_owner=base + OWNERS_ID)
                self._user_namespaces[number] = user_namespace.create(id_map)
            except OSError:
                os.close(lock_fd)
                raise
            return Slot(number, lock_fd, self._user_namespaces[number])
        raise NoSlot(f"cannot take a slot: all {SLOTS} are in use by runs")

    def _lock(self, number: int) -> int | None:
        """Return byte `number` of the file, locked; None if another has it. What has lost its name locks out nobody."""
        for _ in range(_ATTEMPTS):
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                if not ofd_lock.take(fd, number):
                    os.close(fd)
                    return None
                if ofd_lock.is_still(self._path, fd):
                    return fd
            except OSError:
                os.close(fd)
                raise
            os.close(fd)
        raise OSError(errno.ESTALE, f"cannot lock a slot: {self._path} is removed again and again: find out by whom")
