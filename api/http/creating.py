"""Creates that are asked for at the same time, made together: by one thread, one after the other, in one commit.

A thread for each would spend more on taking the interpreter from the others than on its object: docs/design/0004.
Here: who waits. Never here: what a create is (`api/objects/creation.py`).
Invariant: nobody waits for others to come; who comes meanwhile is next.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from api.http.feed import Threads
from api.objects.creation import Alone, Creation, Written
from api.objects.verbs import Verbs

MOST_AT_ONCE = 64

_Outcome: TypeAlias = Written | BaseException | Alone
_Waiter: TypeAlias = "asyncio.Future[Written | Alone]"


class Creating:
    """Makes what is asked for. Belongs to one event loop."""

    def __init__(self, verbs: Verbs, threads: Threads) -> None:
        """Make objects with `verbs`, in `threads` those that cannot be made together with others."""
        self._verbs = verbs
        self._threads = threads
        self._thread = Threads(1)
        self._waiting: deque[tuple[Creation, _Waiter]] = deque()
        self._working: asyncio.Task[None] | None = None

    async def create(self, creation: Creation) -> Written:
        """Make a new object; raise what `Verbs.create` does."""
        mine: _Waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((creation, mine))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        with self._threads.load.counted():
            outcome = await mine
        return outcome if isinstance(outcome, Written) else await self._threads.call(outcome)

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

    async def _made(self, creations: Sequence[Creation]) -> Sequence[_Outcome]:
        try:
            return await self._thread.call(self._verbs.create_all, creations)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is: who waits has to be told, and the next be made.
            return [error] * len(creations)


def _tell(waiter: _Waiter, outcome: _Outcome) -> None:
    if waiter.done():
        return  # Who asked gave up while it was being made.
    if isinstance(outcome, BaseException):
        waiter.set_exception(outcome if _can_be_told(outcome) else RuntimeError(f"it could not be made: {outcome!r}"))
    else:
        waiter.set_result(outcome)


def _can_be_told(error: BaseException) -> bool:
    """Whether a future takes it, and who waits for that would not take it for the end of everything."""
    return isinstance(error, Exception) and not isinstance(error, StopIteration)
