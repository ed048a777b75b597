"""A run's end of its network: whole before anything is executed, or nothing is."""

import pytest

from controller.launcher.network_end import NetworkEnd, read

pytestmark = pytest.mark.needs_root
ENDS = (("192.0.2.9", "192.0.2.1"),)


@pytest.mark.invariant("N3")
def test_a_run_whose_network_cannot_be_made_is_never_begun(launching):
    end = NetworkEnd("rwnone-b", "rwnone-v", ENDS)

    record, output = launching.shell("echo ran", network=end)

    assert record.reason == "SandboxFailed"
    assert "cannot find the bridge rwnone-b" in record.message
    assert output == ""


def test_a_run_without_one_has_its_own_loopback_alone(launching):
    record, output = launching.shell("cat /proc/net/dev | tail -n +3 | cut -d: -f1; cat /etc/resolv.conf")

    assert record.exit_code == 1  # There is nobody to ask for names.
    assert output.split() == ["lo"]


@pytest.mark.parametrize(
    "given",
    [
        {"bridge": "b", "link": "l"},
        {"bridge": "b", "link": "l", "ends": [], "received": -1, "sent": 0},
        {"bridge": "b", "link": "l", "ends": [], "received": "1", "sent": 0},
        {"bridge": "b", "link": 1, "ends": [], "received": 0, "sent": 0},
        {"bridge": "b", "link": "l", "ends": [["10.0.0.1"]], "received": 0, "sent": 0},
        {"bridge": "b", "link": "l", "ends": [["10.0.0.1", "x"]], "received": 0, "sent": 0},
        {"bridge": "b", "link": "l", "ends": [], "received": 0, "sent": 0, "more": 1},
        [],
    ],
)
def test_what_is_no_end_is_refused(given):
    with pytest.raises(ValueError):
        read(given)


def test_an_end_is_what_it_was_written_as():
    end = NetworkEnd("b", "l", ENDS, 1000, 2000)

    assert read({**{name: getattr(end, name) for name in end.__slots__}, "ends": [list(ENDS[0])]}) == end
