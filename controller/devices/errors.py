"""How a device that is declared cannot be given to a run."""


class Unusable(Exception):
    """The device cannot be had on this host, or not in a sandbox of ours; the message names it and says why."""
