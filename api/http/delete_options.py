"""How something is to be deleted: DeleteOptions, from a request's body and its query. Nothing is deleted here."""

import re

from starlette.requests import Request

from api.errors import BadRequest, Cause, Invalid
from api.http import requests
from api.meta import Document

_PROPAGATION = ("", "Background", "Foreground", "Orphan")
_SECONDS = re.compile(r"-?[0-9]{1,9}")
_TEXTS = ("uid", "resourceVersion")


def _grace(sent: object) -> int | None:
    """Return whole seconds; negative ones mean 'left to the object', as kubectl's -1 does."""
    if sent is None:
        return None
    text = str(sent)
    if isinstance(sent, bool) or not _SECONDS.fullmatch(text):
        raise BadRequest(f'cannot read the DeleteOptions: gracePeriodSeconds "{text[:40]}" is no number of seconds')
    return int(text) if int(text) >= 0 else None


async def read(request: Request) -> Document:
    """Return the options of a deletion.

    Raises:
        BadRequest: they cannot be read.
        Invalid: one of them has no such value.
    """
    body = await requests.small_body_of(request)
    options = requests.read_object(body, requests.media_type(request)) if body.strip() else {}
    if options is None:
        options = {}
    if not isinstance(options, dict) or not isinstance(options.get("preconditions") or {}, dict):
        raise BadRequest("cannot read the DeleteOptions: it must be an object")
    for name in _TEXTS:
        if not isinstance((options.get("preconditions") or {}).get(name) or "", str):
            raise BadRequest(f"cannot read the DeleteOptions: preconditions.{name} must be a text")
    if not isinstance(options.get("dryRun") or [], list):
        raise BadRequest("cannot read the DeleteOptions: dryRun must be a list")
    query = request.query_params
    if query.getlist("dryRun"):
        options["dryRun"] = query.getlist("dryRun")
    options.setdefault("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    options["gracePeriodSeconds"] = _grace(options["gracePeriodSeconds"])
    options.setdefault("propagationPolicy", query.get("propagationPolicy", ""))
    if options.get("orphanDependents") is True or query.get("orphanDependents") == "true":
        options["propagationPolicy"] = "Orphan"
    if (options["propagationPolicy"] or "") not in _PROPAGATION:
        wrong = str(options["propagationPolicy"])[:40]
        why = f'Unsupported value: "{wrong}": supported values: "Foreground", "Background", "Orphan"'
        causes = [Cause("propagationPolicy", "FieldValueNotSupported", why)]
        raise Invalid(f"DeleteOptions.meta.k8s.io is invalid: propagationPolicy: {why}", causes=causes)
    return options
