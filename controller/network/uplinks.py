"""The host's own links, and which of them pass on, for jobs' sake, what comes in by them: what answers jobs.

Link by link, and not the host as a whole (`net.ipv4.ip_forward`): so a host is no router at large because of jobs, and
whoever wants it to be one says so by that switch, with which we then have nothing to do.
Invariant: a link is noted before it is switched, so that what comes by it for others can be kept from being passed on.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from controller.netlink import links
from controller.network.firewall import Uplink

_OF_A_NETWORK = re.compile(r"rw[0-9a-f]{4}[bv][0-9a-f]{8}")
"""What the bridges and links of jobs are called, whichever daemon's: it sees to them. See `Switchboard`."""


class Uplinks:
    """Those that one daemon has seen to.

    Args:
        mark: what has the names of links that were switched for IPv4; one beside it, those for IPv6.
    """

    def __init__(self, mark: Path) -> None:
        self._marks = {4: mark, 6: mark.with_name(f"{mark.name}-ipv6")}

    def missing(self) -> tuple[Uplink, ...]:
        """Return those that lead to others and do not pass on what comes by them.

        Raises:
            OSError: the kernel refused.
        """
        return tuple(
            Uplink(version, name)
            for version in _versions()
            if not links.is_router(version)
            for name in links.not_passing_on(version)
            if not _OF_A_NETWORK.fullmatch(name)
        )

    def guarded(self) -> tuple[Uplink, ...]:
        """Return those that were switched, where nobody else has this host be a router."""
        return tuple(each for each in self._noted() if not links.is_router(each.version))

    def note(self, uplinks: Iterable[Uplink]) -> None:
        """Note that these are about to be switched."""
        known = dict.fromkeys((*self._noted(), *uplinks))
        for version, mark in self._marks.items():
            if names := [each.name for each in known if each.version == version]:
                mark.write_text("".join(f"{name}\n" for name in names))

    def switch(self, uplinks: Iterable[Uplink]) -> None:
        """Have these pass on what comes by them; they were noted before.

        Raises:
            OSError: /proc/sys cannot be written here.
        """
        for each in uplinks:
            links.pass_on(each.version, each.name, on=True)

    def was_switched_as_a_whole(self) -> bool:
        """Whether an earlier version of ours had the host be a router: its mark has no names."""
        return self._marks[4].exists() and not self._noted_of(4)

    def clean(self) -> None:
        """Let the host be as it was.

        Raises:
            OSError: /proc/sys cannot be written here.
        """
        if self.was_switched_as_a_whole():
            links.be_no_router()
        for each in self.guarded():
            links.pass_on(each.version, each.name, on=False)
        for mark in self._marks.values():
            mark.unlink(missing_ok=True)

    def _noted(self) -> tuple[Uplink, ...]:
        return tuple(Uplink(version, name) for version in self._marks for name in self._noted_of(version))

    def _noted_of(self, version: int) -> list[str]:
        try:
            return self._marks[version].read_text().split()
        except FileNotFoundError:
            return []


def _versions() -> tuple[int, ...]:
    return (4, 6) if links.has_ipv6() else (4,)
