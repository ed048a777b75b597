"""Which addresses, names and ports the runs of this host have, and which a job gets for its next run.

A run's place in a network is in its record, `status.runs[].network`, which is stored before the run is started, and it
is its own until nothing of it is left on the host. Between the choice and the record it is held here, for as long as
the object is the one that the choice was made from: its record can be stored no later than that.
Invariant: no address and no port of the host is promised to two runs, whoever crashes or comes in between; nor before
the link, the ports and what names led to of the run that had it are gone, whoever comes to know first that it ended.
"""

import contextlib
import errno
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from api.kinds import JOB, NETWORK
from api.meta import Document, ObjectKey
from api.ports import Storage
from api.types.job import Job, Reason, RunState
from api.types.job_network import JobPort, RunNetwork, RunPort
from api.types.network import BUILT_IN, NONE
from api.types.network_rules import parse_egress, parse_ports
from controller.engine.errors import TransientError
from controller.job.observed import NetworkGiven, NetworkMissing, Refused
from controller.job.run_dirs import RunDirs, run_id
from controller.job.run_spec import Place
from controller.launcher.network_end import NetworkEnd
from controller.network import addresses, firewall, switchboard
from controller.network.firewall import Guest, Published
from controller.network.refusals import Refusals, Who
from controller.network.switchboard import Switchboard

_WORDS = ('"network":{',)
_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


@dataclass(frozen=True, slots=True)
class NetworkDefaults:
    """What the host's owner says of networks: that of jobs that name none, and the ports that are given out."""

    default: str = NONE
    first_port: int = 30000
    last_port: int = 32767
    lowest_port: int = 1024


@dataclass(slots=True)
class _Held:
    key: ObjectKey
    version: str
    network: RunNetwork


@dataclass(slots=True)
class _Book:
    """All that is held, by the job's uid and the attempt; and the address given last, by network.

    `leaving` was let go of, and is nobody's until its link and what rules say of it are gone.
    """

    held: dict[tuple[str, int], _Held] = field(default_factory=dict)
    leaving: dict[tuple[str, int], _Held] = field(default_factory=dict)
    last: dict[ObjectKey, IPv4Address] = field(default_factory=dict)


class Networks:
    """Knows who is where; safe to use from several threads."""

    def __init__(
        self,
        storage: Storage,
        dirs: RunDirs,
        defaults: NetworkDefaults,
        wake: Callable[[ObjectKey], None],
        create: Callable[[str, str], None],
    ) -> None:
        """Runs are on record in `storage`, on the host in `dirs`; `wake` is for networks, `create` makes one."""
        self._storage = storage
        self._dirs = dirs
        self._defaults = defaults
        self._wake = wake
        self._create = create
        self._lock = threading.Lock()
        self._book: _Book | None = None
        self.board: Switchboard
        self.refusals: Refusals

    def request(self, namespace: str, name: str) -> None:
        """Have a built-in network be in the namespace."""
        self._create(namespace, name)

    def name_of(self, job: Job) -> str:
        """Return which network a job's runs are in; `none` for none."""
        return job.spec.network.name if job.spec.network is not None else self._defaults.default

    def find(self, job: Job) -> NetworkGiven | NetworkMissing:
        """Return what a next run of `job` would get now, or why it gets nothing."""
        name = self.name_of(job)
        if name == NONE:
            return NetworkGiven()
        key = switchboard.key_of(job.meta.namespace, name)
        document = self._storage.get(key)
        if document is None:
            return self._absent(key)
        if why := _not_ready(document):
            return NetworkMissing(Reason.NETWORK_NOT_READY, f"the network {name} is not ready: {why}")
        self._see_off_the_gone()
        with self._lock:
            return self._choose(job, key, document)

    def _absent(self, key: ObjectKey) -> NetworkMissing:
        if key.name in BUILT_IN:
            return NetworkMissing(Reason.NETWORK_NOT_READY, f"the network {key.name} is being made", key.name)
        known = sorted({*BUILT_IN, NONE, *(each.name for each in self._storage.keys(NETWORK.name, key.namespace))})
        fix = f"create it (rnx network create {key.name}), or name one of {', '.join(known)}"
        cause = f'there is no network "{key.name}" in the namespace {key.namespace}'
        return NetworkMissing(Reason.NETWORK_NOT_FOUND, f"cannot start a run: {cause}: {fix}")

    def _choose(self, job: Job, key: ObjectKey, document: Document) -> NetworkGiven | NetworkMissing:
        others = self._others(job)
        network = IPv4Network(document["status"]["cidr"])
        taken = {IPv4Address(held.network.address) for held in others}
        address = addresses.choose_address(network, taken, self._loaded().last.get(key))
        if address is None:
            message = f"all addresses of the network {key.name}, {network}, are in use: it waits until a run ends"
            return NetworkMissing(Reason.NETWORK_FULL, message)
        ports = self._ports(job, others)
        if isinstance(ports, NetworkMissing):
            return ports
        second = document["status"].get("ipv6Cidr", "")
        twin = str(addresses.twin(address, network, IPv6Network(second))) if second else ""
        aliases = job.spec.network.aliases if job.spec.network is not None else ()
        names = tuple(dict.fromkeys((job.meta.name, *aliases)))
        given = RunNetwork(name=key.name, address=str(address), ipv6_address=twin, names=names, ports=ports)
        wanted = job.spec.network
        said = {} if wanted is None else {
            "egress": wanted.egress, "ingress": wanted.ingress, "bandwidth": wanted.bandwidth,
        }  # fmt: skip
        return NetworkGiven(given.model_copy(update=said))

    def _ports(self, job: Job, others: list[_Held]) -> tuple[RunPort, ...] | NetworkMissing:
        wanted = job.spec.network.ports if job.spec.network is not None else ()
        taken = {(port.protocol, port.host_port): held.key for held in others for port in held.network.ports}
        given: list[RunPort] = []
        for port in wanted:
            if port.host_port is not None and (holder := taken.get((port.protocol, port.host_port))):
                return NetworkMissing(
                    Reason.PORT_TAKEN, f"port {port.host_port} of the host is {holder}'s: choose another"
                )
            if port.host_port is not None and port.host_port < self._defaults.lowest_port:
                fix = "choose a higher one, or set network.lowest_port"
                return NetworkMissing(
                    Reason.POLICY_FORBIDS, f"port {port.host_port} of the host is not given to jobs: {fix}"
                )
            mine = {(each.protocol, each.host_port) for each in given}
            number = self._port(
                port, {*taken, *mine, *((one.protocol, one.host_port) for one in wanted if one.host_port)}
            )
            if number is None:
                what = f"port {port.host_port}" if port.host_port else "any port that jobs are given"
                return NetworkMissing(
                    Reason.PORT_TAKEN, f"{what} of the host is in use: choose another, or end what uses it"
                )
            given.append(RunPort(container_port=port.container_port, host_port=number, protocol=port.protocol))
        return tuple(given)

    def _port(self, port: JobPort, taken: set[tuple[str, int | None]]) -> int | None:
        if port.host_port is not None:
            return port.host_port if _is_free(port.protocol, port.host_port) else None
        candidates = range(self._defaults.first_port, self._defaults.last_port + 1)
        return next(
            (one for one in candidates if (port.protocol, one) not in taken and _is_free(port.protocol, one)), None
        )

    def claim(self, job: Job, attempt: int, network: RunNetwork | None) -> None:
        """Hold this place for run `attempt`, until it is on record that it has it.

        Raises:
            TransientError: somebody else has come first.
        """
        if network is None:
            return
        with self._lock:
            for held in self._others(job):
                same_ports = {(p.protocol, p.host_port) for p in held.network.ports} & {
                    (p.protocol, p.host_port) for p in network.ports
                }
                if held.network.address == network.address or same_ports:
                    cause = f"its address or port has just been given to {held.key}"
                    raise TransientError(Reason.NETWORK_NOT_READY, f"cannot give {job.key} its network: {cause}")
            book = self._loaded()
            book.held[job.meta.uid, attempt] = _Held(job.key, job.meta.resource_version, network)
            book.last[switchboard.key_of(job.meta.namespace, network.name)] = IPv4Address(network.address)

    def prepare(self, job: Job, network: RunNetwork, attempt: int) -> Place:
        """Return what the run's supervisor is to make, and whom the run asks for names: all else is there then.

        Raises:
            TransientError: the network is not whole now.
        """
        key = switchboard.key_of(job.meta.namespace, network.name)
        document = self._storage.get(key)
        if document is None or (why := _not_ready(document)):
            why = "it was deleted" if document is None else why
            raise TransientError(Reason.NETWORK_NOT_READY, f"cannot start {job.key}: the network {network.name}: {why}")
        identity = run_id(job.meta.uid, attempt)
        try:
            self.board.remove_link(identity)
            self.board.put_rules()
        except OSError as error:
            raise TransientError(Reason.NETWORK_NOT_READY, f"cannot start {job.key}: {error}") from error
        ranges = firewall.twin_ranges(document["status"]["cidr"], document["status"].get("ipv6Cidr", ""))
        own = [network.address, *([network.ipv6_address] if network.ipv6_address and len(ranges) > 1 else [])]
        ends = tuple((mine, str(addresses.gateway(each))) for mine, each in zip(own, ranges, strict=False))
        bridge = self.board.bridge_of(document["metadata"]["uid"])
        end = NetworkEnd(bridge, self.board.link_of(identity), ends, *network.bandwidth.bytes_per_second())
        return Place(end, switchboard.name_servers(document))

    def free(self, job: Job, attempt: int) -> None:
        """Know that nothing of run `attempt` is left: remove its link, if there is one, and its ports.

        Raises:
            TransientError: the kernel refused.
        """
        run, on_record = (job.meta.uid, attempt), given_network(job, attempt)
        with self._lock:
            book = self._loaded()
            if run in book.held:
                book.leaving[run] = book.held.pop(run)
            elif run not in book.leaving and on_record is not None:
                book.leaving[run] = _Held(job.key, "", on_record)  # Somebody has seen it off: again does no harm.
        try:
            self._see_off(run)
        except OSError as error:
            raise TransientError(Reason.NETWORK_NOT_READY, str(error)) from error

    def _see_off_the_gone(self) -> None:
        """Have what runs held that are gone be free; what cannot be now stays taken, until somebody comes again."""
        with self._lock:
            book = self._loaded()
            everyone = dict(book.held)
        jobs = {key: self._storage.get(key) for key in {held.key for held in everyone.values()}}
        gone = [run for run, held in everyone.items() if not self._still_holds(run, held, jobs[held.key])]
        with self._lock:
            for run in gone:
                if book.held.get(run) is everyone[run]:  # Else somebody has come in between, and knows better.
                    book.leaving[run] = book.held.pop(run)
            leaving = tuple(book.leaving)
        for run in leaving:
            with contextlib.suppress(OSError):
                self._see_off(run)

    def _see_off(self, run: tuple[str, int]) -> None:
        """Remove what is left of a run that is leaving. Several may at once: each step may have been done.

        Raises:
            OSError: the kernel refused; it is still leaving.
        """
        with self._lock:
            book = self._loaded()
            held = book.leaving.get(run)
            if held is None:
                return
            others = {address for other in book.held.values() for address in _addresses(other.network)}
        self.board.remove_link(run_id(*run))
        self.board.rules.forget(ip_address(each) for each in _addresses(held.network) if each not in others)
        if held.network.ports:
            self.board.put_rules()
        with self._lock:
            book.leaving.pop(run, None)
        self._wake(switchboard.key_of(held.key.namespace, held.network.name))

    def refused(self, job: Job) -> Refused:
        """Return what of a job's connections its network refused."""
        return Refused(*self.refusals.of(job.meta.uid, job.status.refused, job.status.refusals))

    def users(self, network: ObjectKey) -> tuple[str, ...]:
        """Return the runs that are in a network."""
        return tuple(f"{held.key.name}-{attempt}" for (_, attempt), held in self._in(network))

    def links(self, network: ObjectKey) -> tuple[str, ...]:
        """Return the links of the runs in a network, there or not."""
        return tuple(self.board.link_of(run_id(*run)) for run, _ in self._in(network))

    def all_links(self) -> tuple[str, ...]:
        """Return the links of all runs, there or not."""
        with self._lock:
            return tuple(self.board.link_of(run_id(*run)) for run in self._loaded().held)

    def named(self, network: ObjectKey) -> dict[str, tuple[IPv4Address | IPv6Address, ...]]:
        """Return who is called what in a network."""
        found: dict[str, tuple[IPv4Address | IPv6Address, ...]] = {}
        for _, held in self._in(network):
            for name in held.network.names:
                found[name] = (*found.get(name, ()), *map(ip_address, _addresses(held.network)))
        return found

    def guests(self, network: ObjectKey) -> Iterable[Guest]:
        """Return the runs in a network, as rules need them."""
        for _, held in self._in(network):
            yield _guest(held.network)

    def at(self, address: IPv4Address | IPv6Address) -> Who | None:
        """Return whose run has the address."""
        text = str(address)
        with self._lock:
            everyone = list(self._loaded().held.items())
        return next((Who(held.key, uid) for (uid, _), held in everyone if text in _addresses(held.network)), None)

    def published(self) -> Iterable[Published]:
        """Return the ports of all runs."""
        with self._lock:
            held = list(self._loaded().held.values())
        for each in held:
            for port in each.network.ports:
                where = IPv4Address(each.network.address)
                yield Published(port.protocol.lower(), port.host_port, where, port.container_port)

    def _in(self, network: ObjectKey) -> list[tuple[tuple[str, int], _Held]]:
        with self._lock:
            everyone = list(self._loaded().held.items())
        return [
            (run, held)
            for run, held in everyone
            if held.network.name == network.name and held.key.namespace == network.namespace
        ]

    def _others(self, job: Job) -> list[_Held]:
        """Return what is held or not free yet, but for what was chosen for `job` as it is."""
        book, own = self._loaded(), (job.key, job.meta.resource_version)
        return [*book.leaving.values(), *(held for held in book.held.values() if (held.key, held.version) != own)]

    def _loaded(self) -> _Book:
        if self._book is None:
            self._book = _Book()
            for job in self._storage.each(JOB.name, words=_WORDS):
                for run in job.get("status", {}).get("runs", ()):
                    run_key = (job["metadata"]["uid"], run["attempt"])
                    if run.get("network") and self._may_be_there(run_key, run):
                        held = _Held(ObjectKey.of(job), "", RunNetwork.model_validate(run["network"]))
                        self._book.held[run_key] = held
        return self._book

    def _may_be_there(self, run_key: tuple[str, int], run: Document) -> bool:
        return run.get("state") != RunState.ENDED.value or self._dirs.path(*run_key).exists()

    def _still_holds(self, run_key: tuple[str, int], held: _Held, job: Document | None) -> bool:
        uid, attempt = run_key
        if job is None or job["metadata"]["uid"] != uid:
            return False
        if job["metadata"]["resourceVersion"] == held.version:
            return True
        runs = (run for run in job.get("status", {}).get("runs", ()) if run["attempt"] == attempt)
        return any(self._may_be_there(run_key, run) for run in runs)


def _not_ready(document: Document) -> str:
    if document["metadata"].get("deletionTimestamp"):
        return "it is being deleted"
    for condition in document.get("status", {}).get("conditions", ()):
        if condition["type"] == "Ready":
            return "" if condition["status"] == "True" else str(condition.get("message", ""))
    return "it is being made"


def _addresses(network: RunNetwork) -> tuple[str, ...]:
    return (network.address, *((network.ipv6_address,) if network.ipv6_address else ()))


def _guest(network: RunNetwork) -> Guest:
    egress, ingress = network.egress, network.ingress
    return Guest(
        tuple(map(ip_address, _addresses(network))),
        network.names,
        None if egress is None else tuple(map(parse_egress, egress)),
        None if ingress is None else tuple(map(parse_ports, ingress)),
    )


def _is_free(protocol: str, port: int) -> bool:
    """Say whether nobody on this host listens on the port."""
    with socket.socket(socket.AF_INET, _KINDS[protocol]) as tried:
        try:
            tried.bind(("", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def given_network(job: Job, attempt: int) -> RunNetwork | None:
    """Return where run `attempt` of a job is, as it is on record."""
    return next((run.network for run in job.status.runs if run.attempt == attempt), None)
