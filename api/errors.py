"""Refusals in Kubernetes' words: an exception that knows its Status object and HTTP code.

Here: one class a reason, and the parts of a Status. Never here: how a Status travels.
Source: kubernetes API conventions, "Response Status Kind".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing wrong with one field of an object."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        """Print as in a Status message: the field, then what is wrong with it."""
        return f"{self.field}: {self.message}" if self.field else self.message


@dataclass(frozen=True, slots=True)
class About:
    """The object that a refusal is about; `kind` is the plural resource, or the Kind for Invalid."""

    group: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""

    def __str__(self) -> str:
        """Print as `jobs.runwright.dev "etl"`."""
        resource = f"{self.kind}.{self.group}" if self.group else self.kind
        return f'{resource} "{self.name}"'


class ApiError(Exception):
    """A request that was refused, with the reason a client can act on."""

    code = 500
    reason = "InternalError"

    def __init__(self, message: str, about: About | None = None, causes: Sequence[Cause] = ()) -> None:
        """Refuse with `message`; `causes` name the single fields at fault."""
        super().__init__(message)
        self.message = message
        self.about = about or About()
        self.causes = tuple(causes)
        self.retry_after_seconds: int | None = None

    def status(self) -> dict[str, Any]:
        """Return the v1 Status object for this refusal."""
        named = {"name": self.about.name, "group": self.about.group, "kind": self.about.kind}
        details: dict[str, Any] = {name: value for name, value in named.items() if value}
        if self.causes:
            details["causes"] = [{"reason": c.reason, "message": c.message, "field": c.field} for c in self.causes]
        if self.retry_after_seconds is not None:
            details["retryAfterSeconds"] = self.retry_after_seconds
        body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body |= {"message": self.message, "reason": self.reason, "code": self.code}
        return body | ({"details": details} if details else {})


class BadRequest(ApiError):
    """The request itself cannot be read."""

    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    """The caller is not known."""

    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    """The caller is known and may not."""

    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    """There is no such object."""

    code, reason = 404, "NotFound"

    @classmethod
    def of(cls, about: About) -> "NotFound":
        """Say that the object `about` does not exist."""
        return cls(f"{about} not found", about)


class MethodNotAllowed(ApiError):
    """The resource exists and does not do that."""

    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    """None of the representations asked for can be made."""

    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    """An object of that name is there already."""

    code, reason = 409, "AlreadyExists"

    @classmethod
    def of(cls, about: About) -> "AlreadyExists":
        """Say that the object `about` exists."""
        return cls(f"{about} already exists", about)


class Conflict(ApiError):
    """It changed since the caller read it, or another owner holds a field."""

    code, reason = 409, "Conflict"

    @classmethod
    def stale(cls, about: About, *, sent: str, current: str) -> "Conflict":
        """Say that `about` was changed since resource version `sent` was read."""
        hint = f" (you sent resourceVersion {sent}, current is {current})"
        what = "the object has been modified; please apply your changes to the latest version and try again"
        return cls(f"Operation cannot be fulfilled on {about}: {what}{hint}", about)


class Expired(ApiError):
    """The revision asked for was compacted away: list again."""

    code, reason = 410, "Expired"


class TooLarge(ApiError):
    """The body is over the limit."""

    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    """The body is in a format that this resource does not take."""

    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    """The object breaks its rules; every cause at once, each with its field."""

    code, reason = 422, "Invalid"

    @classmethod
    def of(cls, about: About, causes: Sequence[Cause]) -> "Invalid":
        """Say what is wrong with `about`, whose kind here is the Kind, not the plural."""
        listed = ", ".join(str(cause) for cause in causes)
        text = listed if len(causes) == 1 else f"[{listed}]"
        return cls(f"{about} is invalid: {text}", about, causes)


class TooManyRequests(ApiError):
    """Come back later."""

    code, reason = 429, "TooManyRequests"


class RequestTimeout(ApiError):
    """What was announced did not come: send it again."""

    code, reason = 408, "RequestTimeout"


class ServiceUnavailable(ApiError):
    """A part that the answer needs is not there now."""

    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    """It did not come about in time: ask again."""

    code, reason = 504, "Timeout"
