"""The one table of rules as it is in the kernel: put there whole, looked at, and what names led to let through.

What the rules say is `firewall`'s. Invariant: what is let through for a name's sake is in the kernel before the job is
told of it, outlives every change of the rules but that of its own, and no run has what another was told.
"""

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from controller.engine.clock import Clock
from controller.netlink.nft import Table
from controller.netlink.words import Chain, Pair, Pairs
from controller.network import leads
from controller.network.firewall import Address, Wanted
from controller.network.leads import Leads
from controller.network.records import Led


@dataclass(frozen=True, slots=True)
class Ruling:
    """All rules, the sets that they look into, and the networks that they were made of."""

    chains: tuple[Chain, ...]
    sets: tuple[Pairs, ...] = ()
    networks: tuple[Wanted, ...] = ()


class Rules:
    """Keeps the table. Safe to use from several threads."""

    def __init__(self, name: str, wanted: Callable[[], Ruling], clock: Clock, counts: Path) -> None:
        """Keep the table of this name to be what is `wanted`.

        The file `counts` says what each chain had counted before the rules that are in the kernel: so that what they
        count while no daemon is there, and since it was last told, is not lost with the next one's rules.
        """
        self._table = Table(name)
        self._wanted = wanted
        self._lock = threading.RLock()
        self._leads = Leads(clock)
        self._put: Ruling | None = None
        self._seen: dict[tuple[str, int], int] = {}  # Our rules, each with its count when last looked at.
        self._generation: int | None = None  # What the kernel's were then; as long as they are, so are ours.
        self._clock = clock
        self._agreed_at: float | None = None  # When all that is wanted was last compared with all that there is.
        self._replaced: dict[str, int] = {}  # What each chain had counted by rules that were replaced.
        self._before: dict[str, int] = {}  # And before this daemon's start, of those that were asked for.
        self._counts = counts
        self._found: dict[str, int] | None = None  # What each had counted when this daemon first looked.

    def are_whole(self, network: Wanted, within_seconds: float) -> bool:
        """Whether the rules are those that are wanted, for this network too, and nobody has touched them.

        What is wanted for others is compared with what there is once `within_seconds`, for whoever asks; and what they
        have counted is looked at then.

        Raises:
            OSError: the kernel refused.
        """
        with self._lock:
            if self._put is None or network not in self._put.networks:
                return False
            now = self._clock.monotonic()
            if self._agreed_at is not None and now < self._agreed_at + within_seconds:
                return self._is_untouched()
            if self._put.chains != self._wanted().chains or not self._is_untouched(counts_too=True):
                return False
            self._agreed_at = now
            return True

    def are_untouched(self) -> bool:
        """Whether nobody has touched the rules since they were put there.

        Raises:
            OSError: the kernel refused.
        """
        with self._lock:
            return self._put is not None and self._is_untouched()

    def put(self) -> None:
        """Have the rules be those that are wanted, unless they are.

        Raises:
            OSError: the kernel refused.
        """
        with self._lock:
            wanted = self._wanted()
            if self._put is not None and self._put.chains == wanted.chains and self._is_untouched():
                self._put = wanted
                return
            self._put, self._agreed_at = None, None
            if self._found is None:
                self._found = self._counted_by_others()
            self._look_for_the_last_time()
            self._table.replace(wanted.chains, wanted.sets, self._still_true(wanted))
            self._take_counts_along(wanted)
            self._generation = self._table.generation()
            self._seen, self._put = self._table.look(), wanted
            self._write_counts()

    def remove(self, *, always: bool) -> None:
        """Remove all of it, if there is any or `always`.

        Raises:
            OSError: the kernel refused.
        """
        with self._lock:
            if always or self._table.look():
                self._table.remove()
            self._counts.unlink(missing_ok=True)
            self._put = None

    def counted(self, chain: str, before: int) -> int:
        """Return how many packets the rules of a chain have counted, with those of `before` this daemon's start.

        Those that its rules had counted since that was told are in it too.

        Raises:
            OSError: it cannot be written down.
        """
        with self._lock:
            if chain not in self._before:
                self._before[chain] = max(before, (self._found or {}).get(chain, 0))
                self._write_counts()
            known = self._before[chain] + self._replaced.get(chain, 0)
            return known + sum(count for (name, _), count in self._seen.items() if name == chain)

    def may_ask(self, bridge: str, asker: Address, name: str) -> bool:
        """Say whether a job may have the world asked for a name, by the rules that are in force."""
        network = self._network(bridge)
        return network is not None and leads.may_ask(network, asker, name)

    def let_through(self, bridge: str, asker: Address, name: str, led: Iterable[Led]) -> None:
        """Let a job reach what it is about to be told that a name leads to, as far as rules with the name say.

        Raises:
            OSError: it cannot be let through: so it must not be told.
        """
        with self._lock:
            network = self._network(bridge)
            wanted = () if network is None else leads.pairs(network, asker, name, led)
            if wanted:
                self._leads.take(asker, wanted)
                self._table.add(wanted)

    def forget(self, owners: Iterable[Address]) -> None:
        """Let nothing through any more that these were told: they are about to be somebody else's.

        Raises:
            OSError: the kernel refused.
        """
        with self._lock:
            if self._put is None or not self._put.sets:
                return  # There are none, or they are looked through when they are put there again.
            theirs, self._agreed_at = tuple(owners), None
            self._put = replace(self._put, networks=self._wanted().networks)  # Nothing is let through for them again.
            self._table.drop(pair for pair in self._table.pairs() if leads.belongs_to(pair, theirs))

    def _network(self, bridge: str) -> Wanted | None:
        with self._lock:
            networks = self._put.networks if self._put is not None else ()
        return next((each for each in networks if each.bridge == bridge), None)

    def _still_true(self, wanted: Ruling) -> tuple[Pair, ...]:
        """Return what was let through before and is by the rules that are wanted."""
        if not wanted.sets:
            return ()
        names = {each.name for each in wanted.sets}
        there = [address for each in wanted.networks for guest in each.guests for address in guest.addresses]
        return tuple(each for each in self._table.pairs() if each.pairs in names and leads.belongs_to(each, there))

    def _counted_by_others(self) -> dict[str, int]:
        """Return what each chain has counted in all: before the rules that another daemon has left, and by these."""
        try:
            said = json.loads(self._counts.read_text())
            found = {str(chain): int(count) for chain, count in said.items()}
        except (FileNotFoundError, ValueError, AttributeError, TypeError):
            return {}
        for (chain, _), count in self._table.look().items():
            if chain in found:
                found[chain] += count
        return found

    def _write_counts(self) -> None:
        """Write down what was counted before the rules that are in the kernel now, as far as it is known."""
        there = {chain.name for chain in self._put.chains} if self._put is not None else set[str]()
        before = {**(self._found or {}), **self._before}
        known = {chain: count + self._replaced.get(chain, 0) for chain, count in before.items() if chain in there}
        aside = self._counts.with_name(f"{self._counts.name}.new")
        aside.write_text(json.dumps(known))
        aside.rename(self._counts)

    def _look_for_the_last_time(self) -> None:
        """Look at what our rules have counted so far: it goes with them. Of one that is gone it is what it last was."""
        found = self._table.look() if self._seen else {}
        self._seen = {place: found.get(place, count) for place, count in self._seen.items()}

    def _take_counts_along(self, wanted: Ruling) -> None:
        """Keep what was counted by rules that are replaced now, of chains that are there still."""
        replaced = {chain.name: self._replaced.get(chain.name, 0) for chain in wanted.chains}
        for (chain, _), count in self._seen.items():
            if chain in replaced:
                replaced[chain] += count
        self._replaced, self._seen = replaced, {}

    def _is_untouched(self, *, counts_too: bool = False) -> bool:
        generation = self._table.generation()  # First: what somebody changes meanwhile is looked at the next time.
        if generation == self._generation and not counts_too:
            return True
        found = self._table.look()
        if found.keys() != self._seen.keys():
            return False
        self._seen, self._generation = found, generation
        return True
