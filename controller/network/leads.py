"""Names of the world that rules allow: who may ask for which, and what it was told is let through, for as long.

What was told to one job opens nothing to another. The kernel's sets are the record of it: a daemon that comes back
finds there what is still let through. Here is kept besides how much each job has, so that none fills its network's.
"""

from collections.abc import Iterable

from api.types.network_rules import Egress
from controller.engine.clock import Clock
from controller.netlink.words import Pair
from controller.network import firewall
from controller.network.firewall import Address, Guest, Wanted
from controller.network.records import Led

MOST_OF_ONE = 2048
"""Pairs in sets that one job may have at once."""


class TooManyNames(OSError):
    """A job has asked for so many names that no more is let through for it now."""


def may_ask(network: Wanted, asker: Address, name: str) -> bool:
    """Say whether the world may be asked for a name: where all or that name are allowed, by the job's own rules too.

    To others a name that is asked for would itself be a way out.
    """
    if not _names(network.egress, name):
        return False
    guest = guest_of(network, asker)
    return guest is not None and (guest.egress is None or _names(guest.egress, name))


def guest_of(network: Wanted, address: Address) -> Guest | None:
    """Return the run that has the address."""
    return next((guest for guest in network.guests if address in guest.addresses), None)


def pairs(network: Wanted, asker: Address, name: str, led: Iterable[Led]) -> tuple[Pair, ...]:
    """Return what is to be let through when a job is told that a name leads there."""
    guest = guest_of(network, asker)
    if guest is None:
        return ()
    rules = [rule for rule in (*network.egress, *(guest.egress or ())) if rule.name == name]
    own = {address.version: address for address in guest.addresses}
    return tuple(
        Pair(
            firewall.pairs_of(network.bridge, rule, each.address.version),
            own[each.address.version].packed + each.address.packed,
            each.seconds * 1000,
        )
        for rule in dict.fromkeys(rules)
        for each in led
        if each.address.version in own
    )


def belongs_to(pair: Pair, owners: Iterable[Address]) -> bool:
    """Say whether the source of a pair is one of these."""
    length = len(pair.packed) // 2
    return any(pair.packed[:length] == each.packed for each in owners)


class Leads:
    """How much each job has in sets. Not safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[bytes, dict[tuple[str, bytes], float]] = {}

    def take(self, asker: Address, wanted: tuple[Pair, ...]) -> None:
        """Note these pairs for a job.

        Raises:
            TooManyNames: it has too many already.
        """
        now = self._clock.monotonic()
        for who, had in tuple(self._until.items()):
            self._until[who] = {key: until for key, until in had.items() if until > now}
            if not self._until[who]:
                del self._until[who]
        mine = self._until.get(asker.packed, {})
        more = {(each.pairs, each.packed): now + each.milliseconds / 1000 for each in wanted}
        if len(mine.keys() | more.keys()) > MOST_OF_ONE:
            raise TooManyNames(f"{asker} has asked for too many names at once")
        self._until[asker.packed] = mine | more


def _names(rules: Iterable[Egress], name: str) -> bool:
    return any(rule.is_any or rule.name == name for rule in rules)
