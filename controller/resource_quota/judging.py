"""Whether something more may be in a namespace, by its quotas; in Kubernetes' words if not. Pure.

Source: k8s.io/apiserver/pkg/admission/plugin/resourcequota, "CheckRequest".
"""

from collections.abc import Mapping

from api import quantity

_ALIASES = {"cpu": "requests.cpu", "memory": "requests.memory", "ephemeral-storage": "requests.ephemeral-storage"}
_CPU = ("requests.cpu", "limits.cpu")
_LIMITS = "limits."


def meant(name: str) -> str:
    """Return what a quota of `name` is about: `cpu` is another word for `requests.cpu`."""
    return _ALIASES.get(name, name)


def amount(name: str, text: str) -> int:
    """Return how much a quota allows, in the units that charges have."""
    return quantity.to_millicpu(text) if meant(name) in _CPU else quantity.to_bytes(text)


def told(name: str, number: int) -> str:
    """Return an amount as quotas show it.

    >>> told("requests.cpu", 1500), told("limits.memory", 1 << 30), told("pods", 3)
    ('1500m', '1Gi', '3')
    """
    of = meant(name)
    if of in _CPU:
        return quantity.from_millicpu(number)
    return quantity.from_bytes(number) if of.endswith(("memory", "ephemeral-storage")) else str(number)


def why_not(
    quota: str, hard: Mapping[str, str], used: Mapping[str, int], more: Mapping[str, int], *, subject: str, runs: bool
) -> str:
    """Return why there may not be `more` under a quota called `quota`; empty if there may.

    `runs` says that it is about what runs, which then has to say each limit that the quota is about; `subject` is its
    name.
    """
    unsaid = sorted(name for name in hard if runs and name.startswith(_LIMITS) and name not in more)
    if unsaid:
        return f"failed quota: {quota}: must specify {'; '.join(f'{name} for: {subject}' for name in unsaid)}"
    over = [
        name
        for name in sorted(hard)
        if more.get(meant(name), 0) > 0 and used.get(meant(name), 0) + more[meant(name)] > amount(name, hard[name])
    ]
    if not over:
        return ""
    requested = ",".join(f"{name}={told(name, more[meant(name)])}" for name in over)
    had = ",".join(f"{name}={told(name, used.get(meant(name), 0))}" for name in over)
    limited = ",".join(f"{name}={hard[name]}" for name in over)
    return f"exceeded quota: {quota}, requested: {requested}, used: {had}, limited: {limited}"
