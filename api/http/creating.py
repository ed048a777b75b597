"""Creates that are asked for at the same time, made together: by one thread, one after the other, in one commit.

A thread for each would spend more on taking the interpreter from the others than on its object: docs/design/0004.
Here: who waits. Never here: what a create is (`api/objects/creation.py`).
Invariant: nobody waits for others to come; who comes meanwhile is next.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from api.http.feed import Threads
from api.http.load import Load
from api.objects.creation import Creation, Written
from api.objects.verbs import Verbs

MOST_AT_ONCE = 64


class Creating:
    """Makes what is asked for. Belongs to one event loop."""

    def __init__(self, verbs: Verbs, load: Load) -> None:
        """Make objects with `verbs`; count who waits in `load`."""
        self._verbs = verbs
        self._load = load
        self._thread = Threads(1)
        self._waiting: deque[tuple[Creation, asyncio.Future[Written]]] = deque()
        self._working: asyncio.Task[None] | None = None

    async def create(self, creation: Creation) -> Written:
        """Make a new object; raise what `Verbs.create` does."""
        mine: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting.append((creation, mine))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        with self._load.counted():
            return await mine

    async def _work(self) -> None:
        try:
            while self._waiting:
                taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
                now = [(creation, waiter) for creation, waiter in taken if not waiter.done()]  # Some gave up.
                outcomes = await self._made([creation for creation, _ in now])
                for (_, waiter), outcome in zip(now, outcomes, strict=True):
                    _tell(waiter, outcome)
        finally:
            self._working = None

    async def _made(self, creations: Sequence[Creation]) -> Sequence[Written | Exception]:
        try:
            return await self._thread.call(self._verbs.create_all, creations)
        except Exception as error:  # noqa: BLE001 - each of them is told, as it would be of its own.
            return [error] * len(creations)


def _tell(waiter: "asyncio.Future[Written]", outcome: Written | Exception) -> None:
    if waiter.done():
        return  # Who asked gave up while it was being made.
    if isinstance(outcome, Exception):
        waiter.set_exception(outcome)
    else:
        waiter.set_result(outcome)
