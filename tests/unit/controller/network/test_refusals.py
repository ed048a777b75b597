"""What is remembered of refused connections."""

from ipaddress import ip_address

import pytest

from api.kinds import JOB
from api.meta import ObjectKey
from api.types.network_refusal import Refusal
from controller.netlink.refusals import Told
from controller.network import refusals
from controller.network.refusals import OF_A_JOB, OF_A_NETWORK, Refusals, Who
from support.hand_clock import HandClock

OWN, WORLD = ip_address("10.0.0.2"), ip_address("192.0.2.1")
ETL = Who(ObjectKey(JOB.name, "default", "etl"), "uid-1")


def told(port: int = 443, source=OWN) -> Told:
    return Told("rwb1", source, WORLD, "tcp", port)


def remembering() -> tuple[Refusals, HandClock]:
    clock = HandClock()
    return Refusals(clock, {OWN: ETL}.get), clock


def test_a_refusal_is_remembered_of_the_network_and_of_the_job_and_the_job_is_told_once():
    own, _ = remembering()

    own.note([told(), told()])

    count, (only,) = own.of("uid-1", 0, ())
    assert (count, only.count, only.source_job, only.destination_job) == (2, 2, "etl", "")
    assert (only.source, only.destination, only.protocol, only.port) == ("10.0.0.2", "192.0.2.1", "tcp", 443)
    assert own.of("rwb1", 0, ())[1] == (only,)
    assert own.take_fresh() == (ETL.key,)
    assert own.take_fresh() == ()
    assert own.of("uid-2", 3, (only,)) == (3, (only,))


def test_what_was_on_record_before_is_kept_and_added_to():
    own, clock = remembering()
    old = Refusal(source="10.0.0.2", destination="192.0.2.9", protocol="udp", last_time="2020-01-01T00:00:00Z")
    own.note([told()])

    count, last = own.of("uid-1", 5, (old,))
    assert count == 6
    assert [each.destination for each in last] == ["192.0.2.9", "192.0.2.1"]
    clock.advance(2)
    own.note([told(80)])
    again, last = own.of("uid-1", 6, last)  # As it has been stored by now.
    assert again == 7
    assert [each.port for each in last] == [0, 443, 80]


@pytest.mark.invariant("N8")
def test_whatever_jobs_send_what_is_remembered_has_a_bound():
    own, _ = remembering()

    own.note([told(port) for port in range(1, 500)])
    own.note([Told(f"rwb{number}", WORLD, WORLD, "tcp", 1) for number in range(2, refusals._MOST)])

    count, last = own.of("uid-1", 0, ())
    assert count == 499
    assert [each.port for each in last] == list(range(500 - OF_A_JOB, 500))
    assert len(own.of("rwb1", 0, ())[1]) == OF_A_NETWORK
    own.note([Told("another", WORLD, WORLD, "tcp", 1)])
    assert own.of("rwb1", 0, ()) == (0, ())
