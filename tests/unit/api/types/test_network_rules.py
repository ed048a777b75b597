"""Rules as people write them."""

from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from api.types.job_network import Bandwidth, JobNetwork
from api.types.network import Network, NetworkSpec, problems_with_change
from api.types.network_rules import Egress, Ports, parse_egress, parse_ports


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("any", Egress()),
        ("any:443", Egress(None, Ports("tcp", 443, 443))),
        ("10.0.0.0/8:53/udp", Egress(ip_network("10.0.0.0/8"), Ports("udp", 53, 53))),
        ("Example.com:443", Egress(None, Ports("tcp", 443, 443), "example.com")),
        ("db:5432", Egress(None, Ports("tcp", 5432, 5432), "db")),
        ("peers:53/udp", Egress(None, Ports("udp", 53, 53), peers=True)),
        ("10.1.2.3", Egress(ip_network("10.1.2.3/32"))),
        ("[2001:db8::/32]:1-2", Egress(ip_network("2001:db8::/32"), Ports("tcp", 1, 2))),
    ],
)
def test_a_rule_says_where_to_and_by_which_ports(text, meant):
    assert parse_egress(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-a.b",
        "a..b",
        "1.2.3",
        "[example.com]",
        "10.0.0.0/8:",
        "any:0",
        "any:70000",
        "any:9-1",
        "10.0.0.1/8",
        "any/udp",
        "any:1/sctp",
    ],
)
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ValueError):
        parse_egress(text)


@pytest.mark.parametrize("text", ["", "0", "65536", "http", "5-4", "1/icmp"])
def test_what_is_no_port_is_refused(text):
    with pytest.raises(ValueError):
        parse_ports(text)


@pytest.mark.parametrize(
    "cidr", ["127.0.0.0/24", "169.254.0.0/16", "224.0.0.0/16", "10.0.0.0/8", "10.0.0.0/30", "fd00::/64", "10.0.0.1/24"]
)
def test_a_network_has_addresses_that_a_network_can_have(cidr):
    with pytest.raises(ValidationError):
        NetworkSpec(cidr=cidr)


def test_the_addresses_of_a_network_stay():
    before, after = {"spec": {"cidr": "10.1.0.0/24"}}, {"spec": {"cidr": "10.2.0.0/24"}}

    assert [cause.field for cause in problems_with_change(before, after)] == ["spec.cidr"]
    assert problems_with_change(before, {"spec": {"cidr": "10.1.0.0/24", "egress": ["any"]}}) == []
    assert Network.model_fields["spec"].default_factory is NetworkSpec


@pytest.mark.parametrize("alias", ["localhost", "a.b", "-a", "A", ""])
def test_an_alias_is_one_label(alias):
    with pytest.raises(ValidationError):
        JobNetwork(name="a", aliases=(alias,))


@pytest.mark.parametrize("rule", ["all", "db:5432", "peers", "nonsense:"])
def test_what_a_network_lets_out_is_about_what_is_outside_of_it(rule):
    with pytest.raises(ValidationError, match=f'"{rule}"'):
        NetworkSpec(egress=(rule,))
    assert NetworkSpec(egress=("example.com:443",)).egress


def test_a_job_may_say_less_than_its_network():
    said = JobNetwork(name="a", egress=("db:5432", "example.com:443", "peers:80"), ingress=("8000-8010",))

    assert JobNetwork(name="a", egress=()).egress == ()
    assert said.ingress == ("8000-8010",)
    for wrong in ({"egress": ("any:0",)}, {"ingress": ("http",)}):
        with pytest.raises(ValidationError):
            JobNetwork(name="a", **wrong)


@pytest.mark.parametrize(
    ("ingress", "egress", "meant"),
    [("10M", None, (1_250_000, 0)), (None, "8k", (0, 1000)), ("1Gi", "1e6", (1 << 27, 125_000))],
)
def test_bandwidth_is_of_bits_a_second(ingress, egress, meant):
    assert Bandwidth(ingress=ingress, egress=egress).bytes_per_second() == meant


@pytest.mark.parametrize("rate", ["fast", "0", "-1M", "7999", "2T", "10MB/s"])
def test_what_is_no_bandwidth_is_refused(rate):
    with pytest.raises(ValidationError):
        Bandwidth(egress=rate)
