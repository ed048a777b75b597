"""Who is served next when more is asked than can be done at once: masters first, then everybody in turn.

Here: turns and waiting, of one event loop. Never here: what a request is (`protection.py`).
Invariants: so many at once and no more; some of them are kept for masters; among the others, who asks for much waits
for itself alone: clients take turns, whatever each has waiting.
"""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Room:
    """How many requests are worked on at once, how many of those can be of others than masters, and how many wait."""

    at_once: int = 16
    at_once_of_others: int = 12
    waiting_of_one: int = 1000
    waiting: int = 2000


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to be worked on; give it back when done."""

    is_master: bool


class Turnstile:
    """Lets requests through, so many at a time. Belongs to one event loop."""

    def __init__(self, room: Room) -> None:
        """Let through what `room` says."""
        self._room = room
        self._running = self._running_of_others = self._waiting = 0
        self._masters: deque[asyncio.Future[Turn]] = deque()
        self._others: OrderedDict[str, deque[asyncio.Future[Turn]]] = OrderedDict()

    async def take(self, client: str, *, is_master: bool, seconds: float) -> Turn | None:
        """Return a turn when it is this client's; None at once if too much waits already, and after `seconds`."""
        if self._is_free(is_master=is_master) and not (self._masters if is_master else self._others):
            return self._begin(is_master=is_master)
        queue = self._masters if is_master else self._others.get(client, deque())
        if len(queue) >= self._room.waiting_of_one or self._waiting >= self._room.waiting:
            return None
        mine: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        queue.append(mine)
        if not is_master:
            self._others[client] = queue  # Only here: who does not wait has no queue.
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(mine)
        except (TimeoutError, asyncio.CancelledError) as error:
            self._leave(client, mine, is_master=is_master)
            if isinstance(error, TimeoutError):
                return None
            raise

    def give_back(self, turn: Turn) -> None:
        """Let the next one through."""
        self._running -= 1
        self._running_of_others -= not turn.is_master
        self._let_in()

    def _is_free(self, *, is_master: bool) -> bool:
        if self._running >= self._room.at_once:
            return False
        return is_master or self._running_of_others < self._room.at_once_of_others

    def _begin(self, *, is_master: bool) -> Turn:
        self._running += 1
        self._running_of_others += not is_master
        return Turn(is_master)

    def _let_in(self) -> None:
        while self._masters and self._is_free(is_master=True):
            self._hand_over(self._masters.popleft(), is_master=True)
        while self._others and self._is_free(is_master=False):
            client, queue = self._others.popitem(last=False)
            self._hand_over(queue.popleft(), is_master=False)
            if queue:
                self._others[client] = queue  # At the end: the others come first.

    def _hand_over(self, waiter: "asyncio.Future[Turn]", *, is_master: bool) -> None:
        self._waiting -= 1
        waiter.set_result(self._begin(is_master=is_master))

    def _leave(self, client: str, waiter: "asyncio.Future[Turn]", *, is_master: bool) -> None:
        """Forget somebody who does not wait any more; a turn that came too late goes to the next one."""
        if waiter.done():
            self.give_back(waiter.result())
            return
        queue = self._masters if is_master else self._others[client]
        queue.remove(waiter)
        self._waiting -= 1
        if not is_master and not queue:
            del self._others[client]
