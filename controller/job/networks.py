"""Which addresses, names and ports the runs of this host have, and which a job gets for its next run.

A run's place in a network is in its record, `status.runs[].network`; how long it is its own, `held.py` says.
Invariant: no address and no port of the host is promised to two runs, whoever crashes or comes in between; nor before
the link, the ports and what names led to of the run that had it are gone, whoever comes to know first that it ended.
"""

import contextlib
import errno
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from api.kinds import NETWORK
from api.meta import Document, ObjectKey
from api.ports import Storage
from api.types.job import Job, Reason
from api.types.job_network import HOST, JobPort, RunNetwork, RunPort
from api.types.network import BUILT_IN, NONE
from api.types.network_rules import parse_egress, parse_ports
from controller.engine.errors import TransientError
from controller.job.held import Held, Holding
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


_Run = tuple[str, int]  # The job's uid, and the attempt.
_Place = Holding[RunNetwork]


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
        self._defaults = defaults
        self._wake = wake
        self._create = create
        self._held = Held(storage, dirs, _WORDS, _given, self._put_aside, wake)
        self._leaving: dict[_Run, _Place] = {}  # Held no more, and nobody's until its link and what led to it are gone.
        self._last: dict[ObjectKey, IPv4Address] = {}  # The address given last, by network.
        self.board: Switchboard
        self.refusals: Refusals

    def request(self, namespace: str, name: str) -> None:
        """Have a built-in network be in the namespace."""
        self._create(namespace, name)

    def name_of(self, job: Job) -> str:
        """Return which network a job's runs are in; `none` for none, `host` for the host's."""
        return job.spec.network.name if job.spec.network is not None else self._defaults.default

    def find(self, job: Job) -> NetworkGiven | NetworkMissing:
        """Return what a next run of `job` would get now, or why it gets nothing."""
        name = self.name_of(job)
        if name in (NONE, HOST):
            return NetworkGiven()
        key = switchboard.key_of(job.meta.namespace, name)
        document = self._storage.get(key)
        if document is None:
            return self._absent(key)
        if why := _not_ready(document):
            return NetworkMissing(Reason.NETWORK_NOT_READY, f"the network {name} is not ready: {why}")
        self._see_off_the_gone()
        with self._held.alone():
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
        taken = {IPv4Address(held.what.address) for held in others}
        address = addresses.choose_address(network, taken, self._last.get(key))
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

    def _ports(self, job: Job, others: Sequence[_Place]) -> tuple[RunPort, ...] | NetworkMissing:
        wanted = job.spec.network.ports if job.spec.network is not None else ()
        taken = {(port.protocol, port.host_port): held.key for held in others for port in held.what.ports}
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
        with self._held.alone():
            for held in self._others(job):
                same_ports = {(p.protocol, p.host_port) for p in held.what.ports} & {
                    (p.protocol, p.host_port) for p in network.ports
                }
                if held.what.address == network.address or same_ports:
                    cause = f"its address or port has just been given to {held.key}"
                    raise TransientError(Reason.NETWORK_NOT_READY, f"cannot give {job.key} its network: {cause}")
            self._held.hold(job, attempt, network)
            self._last[switchboard.key_of(job.meta.namespace, network.name)] = IPv4Address(network.address)

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
        with self._held.alone():
            if not self._held.let_go(*run) and on_record is not None:
                self._put_aside([Holding(*run, job.key, "", on_record)])  # Seen off by somebody: again does no harm.
        try:
            self._see_off(run)
        except OSError as error:
            raise TransientError(Reason.NETWORK_NOT_READY, str(error)) from error

    def _see_off_the_gone(self) -> None:
        """Have what runs held that are gone be free; what cannot be now stays taken, until somebody comes again."""
        with self._held.alone():
            self._held.all()  # Those that are gone are put aside by the end of this.
        with self._held.alone():
            leaving = tuple(self._leaving)
        for run in leaving:
            with contextlib.suppress(OSError):
                self._see_off(run)

    def _put_aside(self, gone: Sequence[_Place]) -> tuple[ObjectKey, ...]:
        """Have what is held no more be nobody's so far; whom it concerns is woken when it is free. For who is alone."""
        for each in gone:
            self._leaving.setdefault((each.uid, each.attempt), each)
        return ()

    def _see_off(self, run: _Run) -> None:
        """Remove what is left of a run that is leaving. Several may at once: each step may have been done.

        Raises:
            OSError: the kernel refused; it is still leaving.
        """
        with self._held.alone():
            gone = self._leaving.get(run)
            if gone is None:
                return
            others = {address for other in self._held.known() for address in _addresses(other.what)}
        self.board.remove_link(run_id(*run))
        self.board.rules.forget(ip_address(each) for each in _addresses(gone.what) if each not in others)
        if gone.what.ports:
            self.board.put_rules()
        with self._held.alone():
            self._leaving.pop(run, None)
        self._wake(switchboard.key_of(gone.key.namespace, gone.what.name))

    def refused(self, job: Job) -> Refused:
        """Return what of a job's connections its network refused."""
        return Refused(*self.refusals.of(job.meta.uid, job.status.refused, job.status.refusals))

    def users(self, network: ObjectKey) -> tuple[str, ...]:
        """Return the runs that are in a network."""
        return tuple(f"{held.key.name}-{held.attempt}" for held in self._in(network))

    def links(self, network: ObjectKey) -> tuple[str, ...]:
        """Return the links of the runs in a network, there or not."""
        return tuple(self.board.link_of(run_id(held.uid, held.attempt)) for held in self._in(network))

    def all_links(self) -> tuple[str, ...]:
        """Return the links of all runs, there or not."""
        return tuple(self.board.link_of(run_id(held.uid, held.attempt)) for held in self._everyone())

    def named(self, network: ObjectKey) -> dict[str, tuple[IPv4Address | IPv6Address, ...]]:
        """Return who is called what in a network."""
        found: dict[str, tuple[IPv4Address | IPv6Address, ...]] = {}
        for held in self._in(network):
            for name in held.what.names:
                found[name] = (*found.get(name, ()), *map(ip_address, _addresses(held.what)))
        return found

    def guests(self, network: ObjectKey) -> Iterable[Guest]:
        """Return the runs in a network, as rules need them."""
        return tuple(_guest(held.what) for held in self._in(network))

    def at(self, address: IPv4Address | IPv6Address) -> Who | None:
        """Return whose run has the address."""
        text = str(address)
        found = (Who(held.key, held.uid) for held in self._everyone() if text in _addresses(held.what))
        return next(found, None)

    def published(self) -> Iterable[Published]:
        """Return the ports of all runs."""
        for held in self._everyone():
            for where in map(ip_address, _addresses(held.what)):
                for port in held.what.ports:
                    yield Published(port.protocol.lower(), port.host_port, where, port.container_port)

    def _in(self, network: ObjectKey) -> list[_Place]:
        name, namespace = network.name, network.namespace
        return [held for held in self._everyone() if held.what.name == name and held.key.namespace == namespace]

    def _everyone(self) -> tuple[_Place, ...]:
        with self._held.alone():
            return self._held.known()

    def _others(self, job: Job) -> tuple[_Place, ...]:
        """Return what is held or not free yet, but for what was chosen for `job` as it is. For who is alone."""
        held = self._held.others(job)
        return (*held, *self._held.freed, *self._leaving.values())


def _given(run: Document) -> RunNetwork | None:
    return RunNetwork.model_validate(run["network"]) if run.get("network") else None


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
    """Say whether nobody on this host listens on the port, by IPv4 or by IPv6 alone."""
    return all(_is_free_of(family, protocol, port) for family in (socket.AF_INET, socket.AF_INET6))


def _is_free_of(family: socket.AddressFamily, protocol: str, port: int) -> bool:
    try:
        with socket.socket(family, _KINDS[protocol]) as tried:
            if family == socket.AF_INET6:
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            tried.bind(("", port))
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL) and family == socket.AF_INET6:
            return True  # This host has no IPv6.
        raise
    return True


def given_network(job: Job, attempt: int) -> RunNetwork | None:
    """Return where run `attempt` of a job is, as it is on record."""
    return next((run.network for run in job.status.runs if run.attempt == attempt), None)
