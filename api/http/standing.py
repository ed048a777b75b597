"""Whether who began what lasts may still have it: watches, logs that are followed, files, sessions in runs.

Each is judged again when what is stored of access has changed, and is over when the proof that it began with is.
Invariant: nothing lasts a few seconds longer than what allowed it; and where nothing lasts, nothing is looked at.
Never here: who may what (`authorization.py` judges).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

import anyio

from api.access.directory import Snapshot
from api.errors import ApiError, Unauthorized
from api.objects.verbs import Clock

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
_JUDGED_AT_ONCE = 50  # So that a change, where thousands watch, holds nobody else up for long.

Judge: TypeAlias = Callable[[Snapshot], datetime | None]
"""Returns when, by this snapshot, its proof is over, None if never; raises ApiError if it may not go on."""
Look: TypeAlias = Callable[[], Awaitable[Snapshot]]


@dataclass(slots=True, eq=False)
class Lasting:
    """One thing that lasts: who judges it, by what it was judged last, and when its proof is over."""

    judge: Judge
    judged_by: Snapshot
    until: datetime | None
    going: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    why: ApiError | None = None

    def end(self, why: ApiError) -> None:
        """Have it end."""
        self.why = why
        self.going.cancel()


class Standing:
    """All that lasts. Belongs to one event loop."""

    def __init__(self, look: Look, clock: Clock) -> None:
        """Judge by what `look` returns, which is as new as the last acknowledged write."""
        self._look = look
        self._clock = clock
        self._lasting: set[Lasting] = set()
        self._looking: asyncio.Task[None] | None = None

    async def while_allowed(self, lasting: Lasting, work: Callable[[], Awaitable[None]]) -> ApiError | None:
        """Do `work`; end it when it may not go on, and return why."""
        self._lasting.add(lasting)
        if self._looking is None:
            self._looking = asyncio.create_task(self._go_round())
        try:
            with lasting.going:
                await work()
        finally:
            self._lasting.discard(lasting)
        return lasting.why if lasting.going.cancelled_caught else None

    async def _go_round(self) -> None:
        try:
            while self._lasting:
                await asyncio.sleep(LOOK_SECONDS)
                try:
                    await self._judge_all()
                except Exception:
                    log.exception("cannot tell who may go on")
        finally:
            self._looking = None

    async def _judge_all(self) -> None:
        now = self._clock.now()
        for lasting in self._lasting:
            if lasting.until is not None and lasting.until <= now:
                lasting.end(Unauthorized("Unauthorized"))
        try:
            snapshot = await self._look()
        except ApiError:
            return  # The store cannot be read now: nobody can have taken anything away meanwhile.
        old = [lasting for lasting in self._lasting if lasting.judged_by is not snapshot]
        for count, lasting in enumerate(old):
            if count % _JUDGED_AT_ONCE == _JUDGED_AT_ONCE - 1:
                await asyncio.sleep(0)
            _judge(lasting, snapshot)


def _judge(lasting: Lasting, snapshot: Snapshot) -> None:
    try:
        lasting.until = lasting.judge(snapshot)
    except ApiError as error:
        lasting.end(error)
    else:
        lasting.judged_by = snapshot
