"""The Network kind: addresses are chosen, bridge and rules made, and made again where somebody removed them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from api import conditions
from api.conditions import Condition, ConditionStatus
from api.kinds import NETWORK, Kind
from api.meta import ObjectKey
from api.types.network import CONDITIONS, Network, NetworkReason, NetworkStatus
from controller.engine.clock import Clock
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan
from controller.network import addresses
from controller.network.names import Address
from controller.network.refusals import Refusals
from controller.network.resolver import Resolver
from controller.network.switchboard import Switchboard

LOOK_SECONDS = 5.0
"""So often each network is looked at, unless it is known sooner that somebody has changed a link or a rule."""
_RETRY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """What the host's owner lets networks be: of `pool`, as large as `prefix`, where they do not say, or `allowed`."""

    pool: IPv4Network
    prefix: int
    allowed: tuple[IPv4Network, ...]
    may_leave: bool = True


@dataclass(frozen=True, slots=True)
class ObservedNetwork:
    """What there is of a network: its addresses, or why it has none; whose runs are in it.

    `whole` is its bridge; `ruled` are the rules, what passes packets on, and who answers for names.
    """

    cidr: IPv4Network | None = None
    reason: str = ""
    message: str = ""
    whole: bool = False
    ruled: bool = False
    users: tuple[str, ...] = ()
    there: bool = False


@dataclass(frozen=True, slots=True)
class MakeNetwork:
    """Have its bridge be there, with these addresses."""

    cidr: IPv4Network


@dataclass(frozen=True, slots=True)
class PutRules:
    """Have the rules of all networks be there; if this one's jobs may leave the host, have it pass packets on."""

    leaves: bool


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """Remove its bridge."""


class NetworkKind:
    """What the engine needs to reconcile networks."""

    kind: Kind = NETWORK

    def __init__(
        self,
        clock: Clock,
        board: Switchboard,
        policy: NetworkPolicy,
        users: Callable[[ObjectKey], tuple[str, ...]],
        ports: Callable[[ObjectKey], Iterable[str]],
        resolver: Resolver,
        known: Callable[[ObjectKey], Mapping[str, tuple[Address, ...]]],
        refusals: Refusals,
        wake: Callable[[ObjectKey], None],
        *,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Make networks on `board`, as `policy` lets them be.

        `users` and `ports` tell the runs in a network, and their links; `known` what they are called, for `resolver`.
        What was refused is in `refusals`; jobs that it is about are told by `wake`.
        """
        self._clock = clock
        self._board = board
        self._policy = policy
        self._users = users
        self._ports = ports
        self._resolver = resolver
        self._known = known
        self._refusals = refusals
        self._wake = wake
        self._look_seconds = look_seconds

    def observe(self, obj: Network) -> ObservedNetwork:
        """Return what there is of it.

        Raises:
            TransientError: the host cannot be looked at.
        """
        try:
            if obj.meta.is_deleting:
                return ObservedNetwork(users=self._users(obj.key), there=self._board.is_there(obj.meta.uid))
            cidr, reason, message = self._cidr(obj)
            if cidr is None or not obj.status.cidr:
                return ObservedNetwork(cidr, reason, message)
            return ObservedNetwork(cidr, whole=self._board.is_whole(obj), ruled=self._is_ruled(obj))
        except OSError as error:
            raise TransientError(NetworkReason.UNAVAILABLE, str(error)) from error

    def _cidr(self, obj: Network) -> tuple[IPv4Network | None, str, str]:
        if obj.spec.egress and not self._policy.may_leave:
            fix = "leave spec.egress out, or set network.egress to true"
            return None, NetworkReason.FORBIDDEN, f"cannot let jobs out: the setting network.egress is false: {fix}"
        if obj.status.cidr:
            return IPv4Network(obj.status.cidr), "", ""
        taken = self._board.taken(obj.meta.uid)
        if obj.spec.cidr is None:
            found = addresses.choose_network(self._policy.pool, self._policy.prefix, taken)
            if found is None:
                fix = "remove networks, or set network.pool to more"
                return (
                    None,
                    NetworkReason.NO_CIDR_LEFT,
                    f"cannot find addresses in {self._policy.pool}: all are in use: {fix}",
                )
            return found, "", ""
        wanted = IPv4Network(obj.spec.cidr)
        if not any(wanted.subnet_of(each) for each in self._policy.allowed):
            among = ", ".join(map(str, self._policy.allowed))
            return None, NetworkReason.FORBIDDEN, f"cannot use {wanted}: the setting network.cidrs allows {among}"
        other = addresses.overlapping(wanted, taken)
        if other is not None:
            cause = f"{other} is in use on this host: choose another spec.cidr"
            return None, NetworkReason.CIDR_TAKEN, f"cannot use {wanted}: {cause}"
        return wanted, "", ""

    def plan(self, obj: Network, observed: ObservedNetwork) -> Plan:
        """Return what it needs next."""
        if obj.meta.is_deleting:
            if observed.users:
                who = ", ".join(observed.users[:3])
                return Plan.wait(NetworkReason.IN_USE, f"runs are in it: {who}: it goes with the last of them", 2.0)
            return Plan.do(RemoveNetwork())
        if observed.cidr is None:
            return Plan.wait(observed.reason, observed.message, _RETRY_SECONDS)
        if not obj.status.cidr:
            return Plan.do(MakeNetwork(observed.cidr), again=True)  # On record, before rules are made of it.
        steps: tuple[Any, ...] = () if observed.whole else (MakeNetwork(observed.cidr),)
        steps += () if observed.ruled else (PutRules(bool(obj.spec.egress)),)
        return Plan.do(*steps, check_again_seconds=self._look_seconds)

    def act(self, obj: Network, step: Any) -> None:
        """Carry out one step.

        Raises:
            TransientError: the kernel refused.
        """
        try:
            match step:
                case MakeNetwork(cidr):
                    self._board.make(obj, cidr, self._ports(obj.key))
                case PutRules(leaves):
                    if leaves:
                        self._board.be_a_router()
                    self._board.put_rules()
                    self._answer(obj)
                case RemoveNetwork():
                    self._resolver.forget(obj.meta.uid)
                    self._board.remove(obj.meta.uid)
                case _:
                    raise AssertionError(f"no such step: {step!r}")
        except OSError as error:
            raise TransientError(NetworkReason.REPAIR_FAILED, str(error)) from error

    def _is_ruled(self, obj: Network) -> bool:
        # What concerns all networks is looked at more often than each, so that it is never older than that.
        is_ruled = self._board.is_ruled(obj, self._look_seconds / 2)
        return is_ruled and self._resolver.serves(obj.meta.uid, _gateway(obj))

    def _answer(self, obj: Network) -> None:
        """Answer its jobs for names: for those of others too, as the rules let them."""
        gate = self._board.gate_of(obj.meta.uid)
        self._resolver.serve(obj.meta.uid, _gateway(obj), lambda: self._known(obj.key), gate)

    def report(self, obj: Network, observed: ObservedNetwork, plan: Plan) -> NetworkStatus:
        """Return its status."""
        if obj.meta.is_deleting or plan.waiting is not None:
            why = plan.waiting or Plan.wait(NetworkReason.IN_USE, "it is being deleted").waiting
            reason, message = (why.reason, why.message) if why else ("", "")
            ready = Condition(type="Ready", status=ConditionStatus.FALSE, reason=reason, message=message)
        elif not obj.status.cidr:
            message = "its addresses are chosen, its rules are made next"
            ready = Condition(
                type="Ready", status=ConditionStatus.FALSE, reason=NetworkReason.REPAIR_FAILED, message=message
            )
        else:
            message = f"jobs are given addresses of {obj.status.cidr}"
            ready = Condition(
                type="Ready", status=ConditionStatus.TRUE, reason=NetworkReason.CONNECTED, message=message
            )
        for key in self._refusals.take_fresh():
            self._wake(key)
        bridge = self._board.bridge_of(obj.meta.uid)
        has_cidr = obj.status.cidr or observed.cidr is not None
        return NetworkStatus(
            observed_generation=obj.meta.generation,
            conditions=conditions.merge(obj.status.conditions, [ready], self._clock.now(), ours=CONDITIONS),
            cidr=obj.status.cidr or (str(observed.cidr) if observed.cidr else ""),
            ipv6_cidr=obj.status.ipv6_cidr or (self._board.ipv6_of(obj.meta.uid) if has_cidr else ""),
            bridge=bridge if has_cidr else "",
            refused=self._board.refused(obj) if has_cidr else 0,
            refusals=self._refusals.of(bridge, 0, obj.status.refusals)[1],
        )

    def report_failure(self, obj: Network, error: TransientError | TerminalError) -> NetworkStatus:
        """Return the status of one that a pass failed for."""
        failed = Condition(type="Ready", status=ConditionStatus.FALSE, reason=error.reason, message=error.message)
        merged = conditions.merge(obj.status.conditions, [failed], self._clock.now(), ours=CONDITIONS)
        return obj.status.model_copy(update={"conditions": merged, "observed_generation": obj.meta.generation})

    def is_gone(self, observed: ObservedNetwork) -> bool:
        """Whether nothing of it is left: asked of one being deleted, after its plan was carried out."""
        return not observed.users and not observed.there


def _gateway(obj: Network) -> str:
    return str(addresses.gateway(IPv4Network(obj.status.cidr)))
