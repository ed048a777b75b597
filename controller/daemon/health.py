"""Whether the daemon works: each part asked, for the API's health pages."""

from collections.abc import Iterable
from typing import Protocol

from controller.engine.controller import Controller
from controller.launcher.client import LauncherClient


class Synced(Protocol):
    """Something that reads its sources once at the start."""

    def is_synced(self) -> bool:
        """Whether it has done so."""
        ...


class Recording(Protocol):
    """What keeps a record of what is asked of the API."""

    def problem(self) -> str:
        """Return why it cannot; empty if it can."""
        ...


class Threaded(Protocol):
    """What has threads of its own."""

    def problems(self) -> dict[str, str]:
        """Return each with an empty string when it runs, else what is wrong with it."""
        ...


class DaemonHealth:
    """Implements `api.ports.Health`."""

    def __init__(
        self,
        controllers: Iterable[Controller],
        manifests: Synced,
        launcher: LauncherClient,
        record: Recording,
        networking: Threaded,
    ) -> None:
        """Ask these parts."""
        self._controllers = tuple(controllers)
        self._manifests = manifests
        self._launcher = launcher
        self._record = record
        self._networking = networking

    def checks(self) -> dict[str, str]:
        """Return each part with an empty string when it works, else what is wrong with it."""
        found = {f"controller-{c.name}": _controller(c) for c in self._controllers}
        found["manifests"] = "" if self._manifests.is_synced() else "the sources have not been read yet"
        found |= self._networking.problems()
        return found | {"launcher": self._launcher_check(), "audit-log": self._record_check()}

    def _record_check(self) -> str:
        problem = self._record.problem()
        return f"{problem}: nothing is changed by the API until it can be written" if problem else ""

    def _launcher_check(self) -> str:
        try:
            self._launcher.ping()
        except OSError as error:
            return f"{error}: it is started again with the next run"
        return ""


def _controller(controller: Controller) -> str:
    if not controller.is_alive():
        return "a thread of it ended: see the log, and restart the daemon"
    return "" if controller.is_synced() else "it has not listed its objects yet"
