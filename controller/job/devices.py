"""Which devices the runs of this host have, and which a job may get for its next run.

A run's devices are in its record, `status.runs[].devices` and `deviceNodes`, which is stored before the run is started,
and they are its own until nothing of it is left on the host: what they were then, whatever they are called by now.
Between the choice and the record they are held here, for as long as the object is the one that the choice was made
from: its record can be stored no later than that.
Other daemons of this host have records of their own. What their runs have is told by claims (`launcher.host_claims`),
which every run with devices makes when it is started, and keeps for life.
Invariant: no device is promised to two runs, whoever crashes or comes in between.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from api.kinds import JOB
from api.meta import Document, ObjectKey
from api.ports import Storage
from api.types.job import Job, Reason, RunState
from controller.devices import allocation, fitting, sharing
from controller.devices.allocation import Chosen, Short, Taken
from controller.devices.errors import Unusable
from controller.devices.fitting import Fitting, HostFiles
from controller.devices.inventory import Inventory
from controller.engine.errors import TransientError
from controller.job.observed import DevicesFree, DevicesMissing
from controller.job.run_dirs import RunDirs, run_id
from controller.launcher.host_claims import AlreadyHeld, HostClaim, HostClaims

_NOBODY = ObjectKey("", "", "")
_CLAIMED_BY = "claimed by "  # No device has such a name.
_WOKEN_AT_ONCE = 8  # More than one: a job that waited may not want to run any more.


@dataclass(frozen=True, slots=True)
class _Held:
    """The devices of one run, chosen from the object of that version."""

    key: ObjectKey
    version: str
    names: tuple[str, ...]
    nodes: tuple[str, ...]

    def taken(self, inventory: Inventory) -> Iterator[Taken]:
        """Return what nobody else gets: what it was when given, or by its name where a record tells no nodes."""
        for number, name in enumerate(self.names):
            known = sharing.of_text(self.nodes[number]) if number < len(self.nodes) else inventory.nodes.get(name)
            yield Taken(name, known or frozenset(), str(self.key))


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
        self._wake = wake
        self._lock = threading.Lock()
        self._held: dict[tuple[str, int], _Held] | None = None  # By the job's uid and the attempt.
        self._waiting: dict[ObjectKey, frozenset[str]] = {}  # The kinds they want; in the order they came.

    def find(self, job: Job) -> DevicesFree | DevicesMissing:
        """Return the devices that a next run of `job` would get now, or why it gets none; then it waits for them."""
        wanted = job.spec.resources.limits.devices
        if not wanted:
            return DevicesFree()
        with self._lock:
            found = self._find(job, wanted)
            if isinstance(found, DevicesMissing):
                self._waiting.setdefault(job.key, frozenset(wanted))
            else:
                self._waiting.pop(job.key, None)
        return found

    def claim(self, job: Job, attempt: int, names: Sequence[str], nodes: Sequence[str]) -> None:
        """Hold these devices, which have these nodes, for run `attempt`, until it is on record that it has them.

        Raises:
            TransientError: somebody else has come first.
        """
        if not names:
            return
        with self._lock:
            inventory = self._declared()
            held = self._taken(job, inventory)
            mine = _Held(job.key, job.meta.resource_version, tuple(names), tuple(nodes))
            for one in mine.taken(inventory):
                if holder := allocation.holder_of(one.name, one.nodes, inventory, held):
                    cause = f"{one.name} has just been given to {holder}"
                    raise TransientError(Reason.DEVICES_UNAVAILABLE, f"cannot give {job.key} its devices: {cause}")
            self._loaded()[job.meta.uid, attempt] = mine

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
        with self._lock:
            inventory = self._declared()
            wanted = tuple(_Held(job.key, "", tuple(names), tuple(nodes)).taken(inventory))
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
        with self._lock:
            if not self._held or (job.meta.uid, attempt) not in self._held:
                return  # Nobody waits for what was never looked at.
            self._claims.forget(run_id(job.meta.uid, attempt))
            held = self._held.pop((job.meta.uid, attempt))
            kinds = self._kinds_of(held)
            woken = [key for key, wanted in self._waiting.items() if wanted & kinds][:_WOKEN_AT_ONCE]
            for key in woken:
                del self._waiting[key]
        for key in woken:
            self._wake(key)

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
        with self._lock:
            inventory = self._declared()
            wanted = tuple(_Held(_NOBODY, "", tuple(names), tuple(nodes)).taken(inventory))
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

    def _kinds_of(self, held: _Held) -> frozenset[str]:
        """Return of which kinds devices may be free now that these are: another kind can have the same nodes."""
        inventory = self._declared()
        freed = tuple(held.taken(inventory))
        by_name = {one.name.partition("=")[0] for one in freed}
        by_nodes = {
            device.kind
            for name, device in inventory.devices.items()
            if any(inventory.excludes(one.nodes, inventory.nodes[name]) for one in freed)
        }
        return frozenset(by_name | by_nodes)

    def _taken(self, job: Job, inventory: Inventory) -> tuple[Taken, ...]:
        """Return what is whose, but for what was chosen for `job` as it is; forgets who has let go."""
        all_held = self._loaded()
        for run, held in tuple(all_held.items()):
            if not self._still_holds(*run, held):
                del all_held[run]
        own = (job.key, job.meta.resource_version)
        others = [held for held in all_held.values() if (held.key, held.version) != own]
        ours = tuple(taken for held in others for taken in held.taken(inventory))
        return (*ours, *_of_others(self._claims.live(), self._own_runs()))

    def _own_runs(self) -> frozenset[str]:
        """Return the ids of the runs that are held here: what they claim is known better than that."""
        return frozenset(run_id(uid, attempt) for uid, attempt in self._loaded())

    def _loaded(self) -> dict[tuple[str, int], _Held]:
        if self._held is None:
            self._held = self._on_record()
        return self._held

    def _on_record(self) -> dict[tuple[str, int], _Held]:
        held = {}
        for job in self._storage.each(JOB.name):
            for run in job.get("status", {}).get("runs", ()):
                if run.get("devices"):
                    names, nodes = tuple(run["devices"]), tuple(run.get("deviceNodes", ()))
                    held[job["metadata"]["uid"], run["attempt"]] = _Held(ObjectKey.of(job), "", names, nodes)
        return held

    def _still_holds(self, uid: str, attempt: int, held: _Held) -> bool:
        job = self._storage.get(held.key)
        if job is None or job["metadata"]["uid"] != uid:
            return False
        if _is_active(job, attempt) or job["metadata"]["resourceVersion"] == held.version:
            return True
        return _is_on_record(job, attempt) and self._dirs.path(uid, attempt).exists()  # Its processes may be there.


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


def _is_active(job: Document, attempt: int) -> bool:
    return any(
        run["attempt"] == attempt and run.get("state") != RunState.ENDED.value
        for run in job.get("status", {}).get("runs", ())
    )


def _is_on_record(job: Document, attempt: int) -> bool:
    return any(run["attempt"] == attempt for run in job.get("status", {}).get("runs", ()))
