"""The kinds that say who may do what, and by what users are known: rows of THE table, which `kinds.py` is.

Never here: what the rules mean; `api/access` does.
"""

from api.kind import Column, Kind, field
from api.meta import Document
from api.types.access import ACCESS_GROUP, ACCESS_VERSION, Certificate, Token
from api.types.rbac import RBAC_GROUP, ClusterRole, ClusterRoleBinding, Role, RoleBinding


def _role_ref(document: Document) -> str:
    reference = document.get("roleRef", {})
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


def _subjects(document: Document) -> str:
    return ",".join(str(subject.get("name", "")) for subject in document.get("subjects") or ())


def _in_groups(document: Document) -> str:
    return ",".join(document.get("spec", {}).get("groups", ()))


_OF_BINDINGS = (
    Column("Role", _role_ref, description="The role whose rules it gives."),
    Column("Subjects", _subjects, description="Who gets them."),
)
ROLE = Kind(
    name="Role", plural="roles", short_names=(), namespaced=True, type=Role, columns=(),
    group=RBAC_GROUP, version="v1", has_status=False, categories=(),
)  # fmt: skip
CLUSTER_ROLE = Kind(
    name="ClusterRole", plural="clusterroles", short_names=(), namespaced=False, type=ClusterRole, columns=(),
    group=RBAC_GROUP, version="v1", has_status=False, categories=(),
)  # fmt: skip
ROLE_BINDING = Kind(
    name="RoleBinding", plural="rolebindings", short_names=(), namespaced=True, type=RoleBinding,
    columns=_OF_BINDINGS, group=RBAC_GROUP, version="v1", has_status=False, categories=(),
)  # fmt: skip
CLUSTER_ROLE_BINDING = Kind(
    name="ClusterRoleBinding", plural="clusterrolebindings", short_names=(), namespaced=False,
    type=ClusterRoleBinding, columns=_OF_BINDINGS, group=RBAC_GROUP, version="v1", has_status=False, categories=(),
)  # fmt: skip
_OF_IDENTITIES = (
    Column("User", field("spec.user"), description="Who is known by it."),
    Column("Groups", _in_groups, description="The groups that the user is in."),
    Column("Expires", field("spec.expires"), description="When it ends."),
)
TOKEN = Kind(
    name="Token", plural="tokens", short_names=(), namespaced=False, type=Token,
    columns=(*_OF_IDENTITIES, Column("Description", field("spec.description"), wide=True, description="Its use.")),
    group=ACCESS_GROUP, version=ACCESS_VERSION, has_status=False, categories=(),
)  # fmt: skip
CERTIFICATE = Kind(
    name="Certificate", plural="certificates", short_names=(), namespaced=False, type=Certificate,
    columns=_OF_IDENTITIES, group=ACCESS_GROUP, version=ACCESS_VERSION, has_status=False, categories=(),
)  # fmt: skip
ACCESS_KINDS: tuple[Kind, ...] = (ROLE, CLUSTER_ROLE, ROLE_BINDING, CLUSTER_ROLE_BINDING, TOKEN, CERTIFICATE)
"""Kinds that say who may do what, and by what users are known."""
