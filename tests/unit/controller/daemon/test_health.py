"""What is asked of each part, for the health pages."""

from types import SimpleNamespace

from controller.daemon.health import DaemonHealth
from controller.daemon.networking import Networking


class Works:
    """A part that does."""

    def is_synced(self):
        return True

    def problem(self):
        return ""

    def ping(self):
        return None


def test_the_threads_of_networks_are_among_what_is_asked():
    networking = SimpleNamespace(problems=lambda: {"names": "its thread does not run", "network-monitor": ""})

    found = DaemonHealth((), Works(), Works(), Works(), networking).checks()

    assert found["names"] == "its thread does not run"
    assert found["network-monitor"] == ""


def test_a_thread_of_networks_that_ended_is_told():
    alive, dead = SimpleNamespace(is_alive=lambda: True), SimpleNamespace(is_alive=lambda: False)
    networking = SimpleNamespace(_resolver=dead, _monitor=alive, _refusal_log=dead)

    found = Networking.problems(networking)

    assert found["network-monitor"] == ""
    assert "does not run" in found["names"]
    assert "does not run" in found["network-refusals"]
    assert "network-refusals" not in Networking.problems(
        SimpleNamespace(_resolver=dead, _monitor=alive, _refusal_log=None)
    )
