"""What a network needs next."""

from ipaddress import IPv4Network

import pytest

from api.types.network import Network
from controller.network.kind import MakeNetwork, NetworkKind, ObservedNetwork, PutRules

CIDR = IPv4Network("10.1.0.0/24")


def steps(*, egress=(), **observed):
    kind = NetworkKind(*[None] * 9)
    network = Network.model_validate({
        "apiVersion": "runwright.dev/v1alpha1", "kind": "Network", "metadata": {"name": "n", "namespace": "default"},
        "spec": {"egress": list(egress)}, "status": {"cidr": str(CIDR)},
    })  # fmt: skip
    plan = kind.plan(network, ObservedNetwork(CIDR, **observed))
    assert plan.check_again_seconds == 5.0
    return plan.steps


@pytest.mark.invariant("N5")
def test_what_is_not_as_it_should_be_is_made_again_and_nothing_else():
    assert steps(whole=True, ruled=True) == ()
    assert steps(whole=False, ruled=True) == (MakeNetwork(CIDR),)
    assert steps(whole=True, ruled=False, egress=["any"]) == (PutRules(True),)
    assert steps() == (MakeNetwork(CIDR), PutRules(False))
