"""The ResourceQuota kind: its status says what is used. What would exceed it is refused at admission, by the book."""

from typing import Any

from api.kinds import RESOURCE_QUOTA, Kind
from api.types.resource_quota import ResourceQuota, ResourceQuotaStatus
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan
from controller.resource_quota import judging
from controller.resource_quota.book import QuotaBook
from controller.resource_quota.scopes import Scopes


class ResourceQuotaKind:
    """What the engine needs to reconcile quotas."""

    kind: Kind = RESOURCE_QUOTA

    def __init__(self, book: QuotaBook) -> None:
        """Count by `book`."""
        self._book = book

    def observe(self, obj: ResourceQuota) -> dict[str, int]:
        """Return what is used of what the quota is about."""
        return self._book.used(obj.meta.namespace, obj.spec.hard, Scopes.of(obj.spec.to_document()))

    def plan(self, _obj: ResourceQuota, _observed: dict[str, int]) -> Plan:
        """Return what is to be done: nothing ever is."""
        return Plan.nothing()

    def act(self, _obj: ResourceQuota, step: Any) -> None:
        """Carry out a step; there are none."""
        raise AssertionError(f"no such step: {step!r}")

    def report(self, obj: ResourceQuota, observed: dict[str, int], _plan: Plan) -> ResourceQuotaStatus:
        """Return the status: the limits, and what is used of each."""
        hard = obj.spec.hard
        used = {name: judging.told(name, observed.get(judging.meant(name), 0)) for name in hard}
        return ResourceQuotaStatus(hard=hard, used=used)

    def report_failure(self, obj: ResourceQuota, _error: TransientError | TerminalError) -> ResourceQuotaStatus:
        """Return the status after a pass that failed: what was known before."""
        return obj.status

    def is_gone(self, _observed: dict[str, int]) -> bool:
        """Whether nothing of it is left: there is nothing of it but itself."""
        return True
