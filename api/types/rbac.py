"""Role, ClusterRole, RoleBinding and ClusterRoleBinding, as Kubernetes has them. What they allow: `api/access`."""

from enum import StrEnum
from typing import Any

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api.definition import Column, Definition
from api.meta import RBAC_API_VERSION, Document
from api.model import ApiModel, Resource


class SubjectKind(StrEnum):
    """Who may be a subject."""

    USER = "User"
    GROUP = "Group"
    SERVICE_ACCOUNT = "ServiceAccount"


class PolicyRule(ApiModel):
    """What may be done to what: verbs on resources of API groups, or on paths that are no resources."""

    verbs: tuple[str, ...] = Field(
        min_length=1,
        description="get, list, watch, create, update, patch, delete, deletecollection, bind, escalate, impersonate; "
        "`*` is all.",
    )
    api_groups: tuple[str, ...] = Field(default=(), description='API groups; "" is the core group, `*` is all.')
    resources: tuple[str, ...] = Field(
        default=(), description="Plural resources; `pods/exec` is a subresource, `*/log` that of any, `*` is all."
    )
    resource_names: tuple[str, ...] = Field(default=(), description="Names of single objects; empty is all of them.")
    non_resource_urls: tuple[str, ...] = Field(
        default=(),
        alias="nonResourceURLs",
        description="Paths that are no resources, such as /metrics; `*` at the end is any rest. In ClusterRoles only.",
    )

    @model_validator(mode="after")
    def _is_about_something(self) -> "PolicyRule":
        if self.non_resource_urls and (self.resources or self.api_groups):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            raise PydanticCustomError("FieldValueInvalid", text)
        if not self.non_resource_urls and not (self.resources and self.api_groups):
            text = "resource rules must supply at least one api group and one resource"
            raise PydanticCustomError("FieldValueRequired", text)
        return self


class ClusterRole(Resource):
    """Rules for the whole host, or for the namespace of a RoleBinding that refers to it."""

    api_version: str = RBAC_API_VERSION
    kind: str = "ClusterRole"
    rules: tuple[PolicyRule, ...] | None = Field(default=None, description="What is allowed; rules only ever add.")
    aggregation_rule: dict[str, Any] | None = Field(
        default=None, description="Refused: no role is put together of others here. A subject can be bound to several."
    )

    @field_validator("aggregation_rule")
    @classmethod
    def _is_itself(cls, rule: dict[str, Any] | None) -> None:
        """Refuse what would be a role without rules: nobody fills them in."""
        if rule is not None:
            text = "roles are not put together of others here: write the rules, or bind each of the roles"
            raise PydanticCustomError("FieldValueForbidden", text)


class Role(Resource):
    """Rules for one namespace."""

    api_version: str = RBAC_API_VERSION
    kind: str = "Role"
    rules: tuple[PolicyRule, ...] | None = Field(default=None, description="What is allowed; rules only ever add.")

    @model_validator(mode="after")
    def _has_no_paths(self) -> "Role":
        if any(rule.non_resource_urls for rule in self.rules or ()):
            raise PydanticCustomError("FieldValueInvalid", "namespaced rules cannot apply to non-resource URLs")
        return self


class Subject(ApiModel):
    """Who gets the rules of a role."""

    kind: SubjectKind = Field(description="User, Group or ServiceAccount.")
    name: str = Field(min_length=1, description="The user's name: CN of a certificate, or of a token; or the group's.")
    api_group: str | None = Field(default=None, description="rbac.authorization.k8s.io for users and groups.")
    namespace: str | None = Field(default=None, description="Of service accounts only.")


class RoleKind(StrEnum):
    """What a binding may refer to."""

    ROLE = "Role"
    CLUSTER_ROLE = "ClusterRole"


class RoleRef(ApiModel):
    """The role whose rules a binding gives."""

    api_group: str | None = Field(default=None, description="rbac.authorization.k8s.io.")
    kind: RoleKind = Field(description="Role or ClusterRole.")
    name: str = Field(min_length=1, description="Its name.")


class ClusterRoleBinding(Resource):
    """Gives the rules of a ClusterRole to users and groups, everywhere."""

    api_version: str = RBAC_API_VERSION
    kind: str = "ClusterRoleBinding"
    subjects: tuple[Subject, ...] | None = Field(default=None, description="Who gets them.")
    role_ref: RoleRef = Field(description="Whose rules; it cannot be changed afterwards.")

    @model_validator(mode="after")
    def _is_of_a_cluster_role(self) -> "ClusterRoleBinding":
        if self.role_ref.kind is not RoleKind.CLUSTER_ROLE:
            raise PydanticCustomError("FieldValueNotSupported", 'Unsupported value: roleRef.kind must be "ClusterRole"')
        return self


class RoleBinding(Resource):
    """Gives the rules of a Role or a ClusterRole to users and groups, in its namespace."""

    api_version: str = RBAC_API_VERSION
    kind: str = "RoleBinding"
    subjects: tuple[Subject, ...] | None = Field(default=None, description="Who gets them.")
    role_ref: RoleRef = Field(description="Whose rules; it cannot be changed afterwards.")


def _role_ref(document: Document) -> str:
    reference = document.get("roleRef", {})
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


def _subjects(document: Document) -> str:
    return ",".join(str(subject.get("name", "")) for subject in document.get("subjects") or ())


_OF_BINDINGS = (
    Column("Role", _role_ref, description="The role whose rules it gives."),
    Column("Subjects", _subjects, description="Who gets them."),
)


ROLE_DEFINITION = Definition(type=Role)
CLUSTER_ROLE_DEFINITION = Definition(type=ClusterRole)
ROLE_BINDING_DEFINITION = Definition(type=RoleBinding, columns=_OF_BINDINGS)
CLUSTER_ROLE_BINDING_DEFINITION = Definition(type=ClusterRoleBinding, columns=_OF_BINDINGS)
