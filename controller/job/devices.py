"""Which devices the runs of this host have, and which a job may get for its next run.

A run's devices are in its record, `status.runs[].devices` and `deviceNodes`, which is stored before the run is started,
and they are its own until nothing of it is left on the host (`held.py`): what they were then, whatever they are called
by now.
Other daemons of this host have records of their own. What their runs have is told by claims (`launcher.host_claims`),
which every run with devices makes when it is started, and keeps for life.
Invariant: no device is promised to two runs, whoever crashes or comes in between.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from api.meta import Document, ObjectKey
from api.ports import Storage
from api.types.job import Job, Reason
from controller.devices import allocation, fitting, sharing
from controller.devices.allocation import Chosen, Short, Taken
from controller.devices.errors import Unusable
from controller.devices.fitting import Fitting, HostFiles
from controller.devices.inventory import Inventory
from controller.engine.errors import TransientError
from controller.job.held import Held, Holding
from controller.job.observed import DevicesFree, DevicesMissing
from controller.job.run_dirs import RunDirs, run_id
from controller.launcher.host_claims import AlreadyHeld, HostClaim, HostClaims

_WORDS = ('"devices":["',)
_NOBODY = ObjectKey("", "", "")
_CLAIMED_BY = "claimed by "  # No device has such a name.
_WOKEN_AT_ONCE = 8  # More than one: a job that waited may not want to run any more.


@dataclass(frozen=True, slots=True)
class _Given:
    """The devices of one run, by their names and by the nodes that they had then."""

    names: tuple[str, ...]
    nodes: tuple[str, ...]

    def taken(self, holder: ObjectKey, inventory: Inventory) -> Iterator[Taken]:
        """Return what nobody else gets: what it was when given, or by its name where a record tells no nodes."""
        for number, name in enumerate(self.names):
            known = sharing.of_text(self.nodes[number]) if number < len(self.nodes) else inventory.nodes.get(name)
            yield Taken(name, known or frozenset(), str(holder))


class Devices:
    """Knows what is held, and by whom; safe to use from several threads."""

    def __init__(
        self,
        inventory: Callable[[], Inventory],
        files: HostFiles,
        storage: Storage,
        dirs: RunDirs,
        wake: Callable[[ObjectKey], None],
        claims: HostClaims,
        owner: str,
    ) -> None:
        """Choose of `inventory()` as it is each time; runs are on record in `storage`, and on the host in `dirs`.

        `wake` is called for jobs that wait, when devices were freed. `claims` are of all daemons of this host, of which
        this one is called `owner`.
        """
        self._claims = claims
        self._owner = owner
        self._inventory = inventory
        self._files = files
        self._storage = storage
        self._dirs = dirs
        self._held = Held(storage, dirs, _WORDS, _given, self._concerned, wake)
        self._over: set[str] = set()  # Runs that are, whose launcher may let go of their claims a moment later.
        self._waiting: dict[ObjectKey, frozenset[str]] = {}  # The kinds they want; in the order they came.

    def find(self, job: Job) -> DevicesFree | DevicesMissing:
        """Return the devices that a next run of `job` would get now, or why it gets none; then it waits for them."""
        wanted = job.spec.resources.limits.devices
        if not wanted:
            self.forget(job.key)
            return DevicesFree()
        with self._held.alone():
            found = self._find(job, wanted)
            if isinstance(found, DevicesMissing):
                self._waiting[job.key] = frozenset(wanted)  # Whoever waits keeps their place.
            else:
                self._waiting.pop(job.key, None)
        return found

    def counts(self, kinds: Collection[str]) -> dict[str, int]:
        """Return how many devices of these kinds this host has, whoever has them."""
        if not kinds:
            return {}
        inventory = self._declared()
        return {kind: len(inventory.countable(kind)) for kind in kinds}

    def counts_of_all(self) -> dict[str, int]:
        """Return how many devices this host has, by kind."""
        inventory = self._declared()
        return {kind: len(inventory.countable(kind)) for kind in inventory.kinds()}

    def forget(self, key: ObjectKey) -> None:
        """Know that this job waits for nothing now: it is being deleted, is to wait, or wants none any more."""
        if key in self._waiting:  # Most jobs never were: they need not wait for who looks at devices.
            with self._held.alone():
                self._waiting.pop(key, None)

    def claim(self, job: Job, attempt: int, names: Sequence[str], nodes: Sequence[str]) -> None:
        """Hold these devices, which have these nodes, for run `attempt`, until it is on record that it has them.

        Raises:
            TransientError: somebody else has come first.
        """
        if not names:
            return
        with self._held.alone():
            inventory = self._declared()
            held = self._taken(job, inventory)
            mine = _Given(tuple(names), tuple(nodes))
            for one in mine.taken(job.key, inventory):
                if holder := allocation.holder_of(one.name, one.nodes, inventory, held):
                    cause = f"{one.name} has just been given to {holder}"
                    raise TransientError(Reason.DEVICES_UNAVAILABLE, f"cannot give {job.key} its devices: {cause}")
            self._held.hold(job, attempt, mine)

    @contextmanager
    def held_on_host(self, job: Job, attempt: int, names: Sequence[str], nodes: Sequence[str]) -> Iterator[str | None]:
        """Keep these devices from runs of other daemons, while this lasts: until the run does so itself.

        Gives the path of the claim that it is to keep; None for no devices.

        Raises:
            TransientError: a run of another daemon has one of them.
        """
        if not names:
            yield None
            return
        with self._held.alone():
            inventory = self._declared()
            wanted = tuple(_Given(tuple(names), tuple(nodes)).taken(job.key, inventory))
            own = self._own_runs()
        behind = tuple(sharing.as_text(one.nodes) for one in wanted)
        claim = HostClaim(run_id(job.meta.uid, attempt), self._owner, str(job.key), behind)

        def why_not(live: tuple[HostClaim, ...]) -> str:
            return _held_elsewhere(wanted, inventory, _of_others(live, own))

        try:
            with self._claims.claimed(claim, why_not) as path:
                yield path
        except AlreadyHeld as error:
            raise TransientError(Reason.DEVICES_UNAVAILABLE, f"cannot start {job.key}: {error}") from error

    def free(self, job: Job, attempt: int) -> None:
        """Know that nothing of run `attempt` is left on the host: others may have its devices, and are woken."""
        with self._held.alone():
            if self._held.let_go(job.meta.uid, attempt) or _had_any(job, attempt):
                self._over.add(run_id(job.meta.uid, attempt))
                self._claims.forget(run_id(job.meta.uid, attempt))

    def _concerned(self, freed: Sequence[Holding[_Given]]) -> list[ObjectKey]:
        """Return who may look now that these devices are free, and do not wait any more; some may be gone."""
        kinds = self._kinds_of(freed) if self._waiting else frozenset()
        woken: list[ObjectKey] = []
        for key in [key for key, wanted in self._waiting.items() if wanted & kinds]:
            if len(woken) == _WOKEN_AT_ONCE:
                break
            del self._waiting[key]
            if self._storage.get(key) is not None:
                woken.append(key)
        return woken

    def fit(self, names: Sequence[str], nodes: Sequence[str] = ()) -> Fitting:
        """Return what a run has for the devices that it was given, which then had these nodes.

        Raises:
            Unusable: one of them is gone from this host, is another by now, or cannot be used any more.
        """
        if not names:
            return Fitting()
        inventory = self._declared() if nodes else self._inventory()
        for name in names:
            if name not in inventory.devices:
                raise Unusable(f"cannot use device {name}: {_nowhere(inventory)}")
        for name, given in zip(names, nodes, strict=False):
            if (now := sharing.as_text(inventory.nodes[name])) != given:
                cause = f"that name is another device's by now: it was {given}, and is {now}"
                raise Unusable(f"cannot use device {name}: {cause}")
        return fitting.fit([inventory.devices[name] for name in names], self._files)

    def why_gone(self, names: Sequence[str], nodes: Sequence[str] = ()) -> str:
        """Say why a run that was given these devices cannot be started with them; empty if it can."""
        if why := self._why_unusable(names, nodes):
            return why
        if not names:
            return ""
        with self._held.alone():
            inventory = self._declared()
            wanted = tuple(_Given(tuple(names), tuple(nodes)).taken(_NOBODY, inventory))
            return _held_elsewhere(wanted, inventory, _of_others(self._claims.live(), self._own_runs()))

    def _why_unusable(self, names: Sequence[str], nodes: Sequence[str] = ()) -> str:
        try:
            self.fit(names, nodes)
        except Unusable as error:
            return str(error)
        return ""

    def _find(self, job: Job, wanted: dict[str, int]) -> DevicesFree | DevicesMissing:
        inventory = self._declared()
        held = self._taken(job, inventory)
        names = {one.name for one in held}
        others = (device.qualified for kind in sorted(wanted) for device in inventory.countable(kind))
        unusable = {name: why for name in others if name not in names and (why := self._why_unusable([name]))}
        found = allocation.choose(wanted, inventory, held, unusable)
        if isinstance(found, Short):
            return _missing(found, inventory, tuple(unusable.values()), is_elsewhere=any(map(_is_elsewhere, held)))
        return self._together(found, inventory)

    def _together(self, found: Chosen, inventory: Inventory) -> DevicesFree | DevicesMissing:
        """Return them, if one run can have all of them."""
        nodes = tuple(sharing.as_text(inventory.nodes[name]) for name in found.names)
        if why := self._why_unusable(found.names, nodes):
            return DevicesMissing(Reason.DEVICES_UNUSABLE, why)
        return DevicesFree(found.names, nodes)

    def _declared(self) -> Inventory:
        """Return what is declared, told apart by what it is on this host now."""
        return self._inventory().on_host(self._files.look)

    def _kinds_of(self, freed: Sequence[Holding[_Given]]) -> frozenset[str]:
        """Return of which kinds devices may be free now that these are: another kind can have the same nodes."""
        inventory = self._declared()
        free = tuple(one for each in freed for one in each.what.taken(each.key, inventory))
        by_name = {one.name.partition("=")[0] for one in free}
        by_nodes = {
            device.kind
            for name, device in inventory.devices.items()
            if any(inventory.excludes(one.nodes, inventory.nodes[name]) for one in free)
        }
        return frozenset(by_name | by_nodes)

    def _taken(self, job: Job, inventory: Inventory) -> tuple[Taken, ...]:
        """Return what is whose, but for what was chosen for `job` as it is."""
        ours = tuple(taken for held in self._held.others(job) for taken in held.what.taken(held.key, inventory))
        self._over.update(run_id(each.uid, each.attempt) for each in self._held.freed if self._is_over(each))
        live = self._claims.live()
        self._over &= {claim.run_id for claim in live}
        return (*ours, *_of_others(live, self._own_runs()))

    def _is_over(self, one: Holding[_Given]) -> bool:
        """Whether nothing of it is left; what is of a job that is gone is had by its claim alone."""
        return not self._dirs.path(one.uid, one.attempt).exists()

    def _own_runs(self) -> frozenset[str]:
        """Return the ids of the runs that are held here, and of those over: what they have is known better here."""
        return frozenset(run_id(each.uid, each.attempt) for each in self._held.known()) | self._over


def _given(run: Document) -> _Given | None:
    return _Given(tuple(run["devices"]), tuple(run.get("deviceNodes", ()))) if run.get("devices") else None


def _had_any(job: Job, attempt: int) -> bool:
    return any(run.devices for run in job.status.runs if run.attempt == attempt)


def _of_others(live: Iterable[HostClaim], own: Collection[str]) -> tuple[Taken, ...]:
    """Return what runs of other daemons have: by its nodes alone, as what they call it is their own matter."""
    return tuple(
        Taken(f"{_CLAIMED_BY}{claim.run_id}", sharing.of_text(nodes), f"{claim.holder} of the daemon of {claim.owner}")
        for claim in live
        if claim.run_id not in own
        for nodes in claim.nodes
    )


def _held_elsewhere(wanted: Iterable[Taken], inventory: Inventory, others: Collection[Taken]) -> str:
    for one in wanted:
        if holder := allocation.holder_of(one.name, one.nodes, inventory, others):
            return f"{one.name} is held by {holder}"
    return ""


def _is_elsewhere(one: Taken) -> bool:
    return one.name.startswith(_CLAIMED_BY)


def _missing(short: Short, inventory: Inventory, unusable: tuple[str, ...], *, is_elsewhere: bool) -> DevicesMissing:
    why = "".join(f"; {problem}" for problem in (*unusable, *inventory.problems))
    if short.is_absent:
        message = f"{short.wanted} of {short.kind} wanted, and this host has none: {_nowhere(inventory)}{why}"
        return DevicesMissing(Reason.DEVICES_NOT_FOUND, message)
    if short.is_too_many:
        cause = f"it can never run here: ask for at most {short.total}, or run it on another host"
        message = f"{short.wanted} of {short.kind} wanted, this host has {short.total}: {cause}{why}"
        return DevicesMissing(Reason.DEVICES_INSUFFICIENT, message)
    if unusable and short.wanted > short.total - len(unusable):
        return DevicesMissing(Reason.DEVICES_UNUSABLE, f"{short}{why}")
    return DevicesMissing(Reason.DEVICES_UNAVAILABLE, f"{short}{why}", is_elsewhere=is_elsewhere)


def _nowhere(inventory: Inventory) -> str:
    known = ", ".join(inventory.kinds()) or "no kind of device"
    return f"no CDI spec in {' or '.join(inventory.directories)} declares it: {known} is declared there"
