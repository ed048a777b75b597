"""The last connections that were refused, of each network and of each job: who, to where, by what, when, how often.

Invariant: what is remembered has a bound, whatever jobs send.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from api.meta import ObjectKey, wire_time
from api.types.network_refusal import Refusal
from controller.engine.clock import Clock
from controller.netlink.refusals import Told
from controller.network.firewall import Address

OF_A_NETWORK, OF_A_JOB = 20, 10
_MOST = 4096  # Networks and jobs that are remembered: who was refused longest ago is forgotten.
_What = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Who:
    """The run that has an address."""

    key: ObjectKey
    uid: str


@dataclass(slots=True)
class _Ring:
    """The last ones of somebody, and what was on record when they were first asked for."""

    last: OrderedDict[_What, Refusal] = field(default_factory=OrderedDict)
    count: int = 0
    before: tuple[int, tuple[Refusal, ...]] | None = None

    def add(self, refusal: Refusal, most: int) -> None:
        what = _what(refusal)
        known = self.last.pop(what, None)
        self.last[what] = refusal.model_copy(update={"count": known.count + 1}) if known else refusal
        self.count += 1
        while len(self.last) > most:
            self.last.popitem(last=False)


class Refusals:
    """Remembers them. Safe to use from several threads."""

    def __init__(self, clock: Clock, who: Callable[[Address], Who | None]) -> None:
        """Say by `who` whose an address is at the time."""
        self._clock = clock
        self._who = who
        self._lock = threading.Lock()
        self._rings: OrderedDict[str, _Ring] = OrderedDict()
        self._fresh: set[ObjectKey] = set()

    def note(self, told: Iterable[Told]) -> None:
        """Remember what was refused just now; its text is the bridge of the network."""
        now = wire_time(self._clock.now())
        for each in told:
            source, destination = self._who(each.source), self._who(each.destination)
            refusal = Refusal(
                source=str(each.source),
                source_job=source.key.name if source else "",
                destination=str(each.destination),
                destination_job=destination.key.name if destination else "",
                protocol=each.protocol,
                port=each.port,
                last_time=now,
            )
            with self._lock:
                self._ring(each.text).add(refusal, OF_A_NETWORK)
                for one in {who.uid: who for who in (source, destination) if who}.values():
                    self._ring(one.uid).add(refusal, OF_A_JOB)
                    self._fresh.add(one.key)

    def of(self, whose: str, count: int, last: tuple[Refusal, ...]) -> tuple[int, tuple[Refusal, ...]]:
        """Return how many there were of a network, by its bridge, or of a job, by its uid, and the last of them.

        Args:
            whose: the bridge or the uid.
            count: how many are on record: those of before this daemon's start, when it is asked for the first time.
            last: the last ones on record, likewise.
        """
        with self._lock:
            ring = self._rings.get(whose)
            if ring is None:
                return count, last
            if ring.before is None:
                ring.before = count, last
            known = {**{_what(each): each for each in ring.before[1]}, **ring.last}
            in_order = sorted(known.values(), key=lambda each: each.last_time)
            return ring.before[0] + ring.count, tuple(in_order[-max(len(ring.last), OF_A_JOB) :])

    def take_fresh(self) -> tuple[ObjectKey, ...]:
        """Return the jobs of which there is news since this was asked last."""
        with self._lock:
            found, self._fresh = tuple(self._fresh), set()
        return found

    def _ring(self, whose: str) -> _Ring:
        ring = self._rings.setdefault(whose, _Ring())
        self._rings.move_to_end(whose)
        if len(self._rings) > _MOST:
            self._rings.popitem(last=False)
        return ring


def _what(refusal: Refusal) -> _What:
    return refusal.source, refusal.destination, refusal.protocol, refusal.port
