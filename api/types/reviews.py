"""Reviews: questions of a user about itself, from Kubernetes' authorization and authentication groups.

They are asked by POST and answered at once; nothing of them is stored.
"""

from typing import Any

from pydantic import Field

from api.model import ApiModel, Resource

AUTHORIZATION = "authorization.k8s.io"
AUTHENTICATION = "authentication.k8s.io"


class ResourceAttributes(ApiModel):
    """What would be done to a resource."""

    namespace: str = Field(default="", description="The namespace; empty is all of them, or none.")
    verb: str = Field(default="", description="The verb, such as get, list, create or delete; `*` is all.")
    group: str = Field(default="", description="The API group, such as runwright.dev; `*` is all.")
    version: str = Field(default="", description="The version; it makes no difference.")
    resource: str = Field(default="", description="The resource, such as jobs; `*` is all.")
    subresource: str = Field(default="", description="What lies below it, such as log.")
    name: str = Field(default="", description="The object; empty is all.")


class NonResourceAttributes(ApiModel):
    """What would be done to a path that is no resource."""

    path: str = Field(default="", description="The path, such as /metrics.")
    verb: str = Field(default="", description="The HTTP method, in lower case.")


class AccessReviewSpec(ApiModel):
    """The question: one of the two."""

    resource_attributes: ResourceAttributes | None = Field(default=None, description="About a resource.")
    non_resource_attributes: NonResourceAttributes | None = Field(default=None, description="About a path.")


class SelfSubjectAccessReview(Resource):
    """Whether the sender may do something."""

    api_version: str = f"{AUTHORIZATION}/v1"
    kind: str = "SelfSubjectAccessReview"
    spec: AccessReviewSpec = Field(default_factory=AccessReviewSpec, description="The question.")
    status: dict[str, Any] = Field(default_factory=dict, description="The answer: allowed, and the reason.")


class RulesReviewSpec(ApiModel):
    """The question."""

    namespace: str = Field(default="", description="The namespace that it is about.")


class SelfSubjectRulesReview(Resource):
    """All that the sender may do in a namespace."""

    api_version: str = f"{AUTHORIZATION}/v1"
    kind: str = "SelfSubjectRulesReview"
    spec: RulesReviewSpec = Field(default_factory=RulesReviewSpec, description="The question.")
    status: dict[str, Any] = Field(
        default_factory=dict, description="The answer: resourceRules, nonResourceRules, and whether they are all."
    )


class SelfSubjectReview(Resource):
    """Who the sender is."""

    api_version: str = f"{AUTHENTICATION}/v1"
    kind: str = "SelfSubjectReview"
    status: dict[str, Any] = Field(default_factory=dict, description="The answer: userInfo, with username and groups.")


class TokenReviewSpec(ApiModel):
    """The question."""

    token: str = Field(default="", description="The token; without one the caller is meant.")
    audiences: tuple[str, ...] = Field(default=(), description="Whom it would be shown to; taken and not heard.")


class TokenReview(Resource):
    """Whose token the sender calls with."""

    api_version: str = f"{AUTHENTICATION}/v1"
    kind: str = "TokenReview"
    spec: TokenReviewSpec = Field(default_factory=TokenReviewSpec, description="The question.")
    status: dict[str, Any] = Field(default_factory=dict, description="The answer: authenticated, and the user.")
