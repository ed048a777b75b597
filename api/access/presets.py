"""The roles that every host has, and who has them at first: admin, maintainer, developer, viewer. Pure.

The roles are brought back to this at each start, unless annotated otherwise; the bindings, each to a group named
like its role, are made once and are the administrator's from then on.
"""

from api.access.policy import RBAC
from api.access.rules import ALL, Rule
from api.meta import GROUP, RBAC_API_VERSION, Document

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_READ = ("get", "list", "watch")
_WRITE = ("create", "update", "patch", "delete", "deletecollection")
_METRICS = "metrics.k8s.io"
_SCHEDULING = "scheduling.k8s.io"

VIEWER = (
    Rule(_READ, (GROUP,), (ALL,)),
    Rule(
        _READ,
        ("",),
        (
            "pods",
            "pods/log",
            "pods/status",
            "events",
            "namespaces",
            "namespaces/status",
            "nodes",
            "configmaps",
            "resourcequotas",
            "resourcequotas/status",
            "services",
        ),
    ),
    Rule(_READ, ("events.k8s.io",), ("events",)),
    Rule(_READ, (_SCHEDULING,), ("priorityclasses",)),
    Rule(("get", "list"), (_METRICS,), ("pods", "nodes")),
    Rule(("get",), paths=("/metrics",)),
)
DEVELOPER = (
    *VIEWER,
    Rule(_WRITE, (GROUP,), ("jobs", "cronjobs", "workflows", "volumes", "volumesnapshots", "networks")),
    Rule(("create",), (GROUP,), ("uploads",)),
    Rule(("update",), (GROUP,), ("jobs/finalizers", "cronjobs/finalizers")),
    Rule(("delete", "deletecollection"), ("",), ("pods",)),
    Rule(("create",), ("",), ("pods/attach", "pods/exec", "pods/files", "pods/portforward")),
    Rule((*_READ, *_WRITE), ("",), ("configmaps", "secrets")),
    Rule(("create", "patch", "update"), ("", "events.k8s.io"), ("events",)),
)
MAINTAINER = (
    *DEVELOPER,
    Rule((ALL,), (GROUP,), (ALL,)),
    Rule((ALL,), ("", "events.k8s.io"), ("namespaces", "namespaces/status", "namespaces/finalize", "pods", "events")),
    Rule((ALL,), (_SCHEDULING,), ("priorityclasses",)),
    Rule((ALL,), ("",), ("resourcequotas", "resourcequotas/status")),
    Rule(_READ, (RBAC,), (ALL,)),
)
ADMIN = (Rule((ALL,), (ALL,), (ALL,)), Rule((ALL,), paths=(ALL,)))

ROLES = {
    "admin": ADMIN,
    "cluster-admin": ADMIN,
    "maintainer": MAINTAINER,
    "developer": DEVELOPER,
    "viewer": VIEWER,
    "reader": VIEWER,
}
GROUPS = {"admins": "admin", "maintainers": "maintainer", "developers": "developer", "viewers": "viewer"}


def cluster_roles() -> tuple[Document, ...]:
    """Return the roles as they are stored."""
    return tuple(
        {
            "apiVersion": RBAC_API_VERSION,
            "kind": "ClusterRole",
            "metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}},
            "rules": [rule.to_document() for rule in rules],
        }
        for name, rules in ROLES.items()
    )


def cluster_role_bindings() -> tuple[Document, ...]:
    """Return the bindings as they are first stored."""
    return tuple(
        {
            "apiVersion": RBAC_API_VERSION,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": group},
            "subjects": [{"kind": "Group", "name": group, "apiGroup": RBAC}],
            "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": RBAC},
        }
        for group, role in GROUPS.items()
    )
