"""The reviews: `auth can-i`, `auth can-i --list`, `auth whoami`. Asked by POST, answered from the sender's rights."""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.definition import Definition
from api.errors import BadRequest, Cause, Invalid
from api.http import answers, requests
from api.http.rights import Rights, Wanted, rights_of
from api.http.served import Served, group_path
from api.kinds import Kind
from api.meta import Document
from api.objects import admission
from api.objects.admission import WriteOptions
from api.types.reviews import (
    AUTHENTICATION,
    AUTHORIZATION,
    SelfSubjectAccessReview,
    SelfSubjectReview,
    SelfSubjectRulesReview,
    TokenReview,
)

_Judge = Callable[[Rights, Any], Document]


def _kind(type_: type, group: str) -> Kind:
    name = type_.__name__
    return Kind(
        name=name, plural=f"{name.lower()}s", short_names=(), namespaced=False, defined=Definition(type_), group=group,
        version="v1", categories=(),
    )  # fmt: skip


def _access(rights: Rights, review: SelfSubjectAccessReview) -> Document:
    spec = review.spec
    if (spec.resource_attributes is None) == (spec.non_resource_attributes is None):
        why = "Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise Invalid(f"spec.resourceAttributes: {why}", causes=[Cause("spec", "FieldValueInvalid", why)])
    allowed, reason = rights.allows(_wanted(review))
    return {"allowed": allowed, "reason": reason} if reason else {"allowed": allowed}


def _wanted(review: SelfSubjectAccessReview) -> Wanted:
    path, on = review.spec.non_resource_attributes, review.spec.resource_attributes
    if on is None:
        return Wanted(path.verb, path=path.path) if path is not None else Wanted("")
    resource, _, below = on.resource.partition("/")
    return Wanted(on.verb, on.group, resource, on.subresource or below, on.namespace, on.name)


def _rules(rights: Rights, review: SelfSubjectRulesReview) -> Document:
    rules = rights.rules(review.spec.namespace)
    return {
        "resourceRules": [rule for rule in rules if "nonResourceURLs" not in rule],
        "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
        "incomplete": False,
    }


def _who(rights: Rights, _review: SelfSubjectReview) -> Document:
    return {"userInfo": _user(rights)}


def _token(rights: Rights, _review: TokenReview) -> Document:
    """Answer for the caller itself, which sends no token."""
    return {"authenticated": True, "user": _user(rights)}


async def _of_token(request: Request, token: str) -> Document:
    """Say whose a token is: who has it could ask as that user anyway."""
    user = await request.state.user_of_token(token)
    if user is None:
        return {"authenticated": False, "error": "the token is not known here, or is over"}
    return {"authenticated": True, "user": {"username": user.name, "groups": list(user.groups)}}


def _user(rights: Rights) -> Document:
    return {"username": rights.name, "groups": list(rights.groups)}


_JUDGES: tuple[tuple[Kind, _Judge], ...] = (
    (_kind(SelfSubjectAccessReview, AUTHORIZATION), _access),
    (_kind(SelfSubjectRulesReview, AUTHORIZATION), _rules),
    (_kind(SelfSubjectReview, AUTHENTICATION), _who),
    (_kind(TokenReview, AUTHENTICATION), _token),
)
REVIEWS: tuple[Served, ...] = tuple(Served(kind, ("create",)) for kind, _ in _JUDGES)
"""What these pages serve, for discovery."""


def routes() -> list[Route]:
    """Return the routes of the reviews."""
    return [
        Route(f"/{group_path(kind.group, kind.version)}/{kind.plural}", _endpoint(kind, judge), methods=["POST"])
        for kind, judge in _JUDGES
    ]


def _endpoint(kind: Kind, judge: _Judge) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        request.scope["runwright.asked"] = ("POST", kind.plural)
        sent = requests.read_object(await requests.small_body_of(request), requests.media_type(request))
        document = admission.receive(kind, sent, "", WriteOptions(field_validation="Ignore")).document
        document.pop("status", None)
        try:
            review = kind.type.model_validate(document)
        except ValidationError as error:
            raise BadRequest(f"cannot read the {kind.name}: {error.errors()[0]['msg']}") from error
        if isinstance(review, TokenReview) and review.spec.token:
            status = await _of_token(request, review.spec.token)
            document["spec"] = {**document["spec"], "token": ""}  # Nobody needs to see it again.
        else:
            status = judge(rights_of(request), review)
        return answers.answer(document | {"metadata": document["metadata"], "status": status}, 201)

    return endpoint
