"""What a request asks: its body, its options, who sends it. Errors are BadRequest or Invalid."""

from starlette.requests import HTTPConnection, Request

from api.errors import BadRequest, Cause, Invalid, TooLarge, UnsupportedMediaType
from api.http import protobuf
from api.objects import reading
from api.objects.patch import PatchType
from api.objects.verbs import WriteOptions

MOST_BODY_BYTES = 3 << 20
SMALL_BODY_BYTES = 64 << 10
_YAML = ("application/yaml", "application/x-yaml", "text/yaml")
_MOST_MANAGER = 128
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("", "0", "f", "F", "false", "FALSE", "False")


async def body_of(request: Request) -> bytes:
    """Return the request's body.

    Raises:
        TooLarge: it has more than 3 MiB.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > MOST_BODY_BYTES:
        raise too_large()
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BODY_BYTES:
            raise too_large()
        chunks.append(chunk)
    return b"".join(chunks)


async def small_body_of(request: Request) -> bytes:
    """Return a body that is read in the event loop, which all others wait for.

    Raises:
        TooLarge: it has more than 64 KiB, which is more than anybody needs to say such a thing.
    """
    body = await body_of(request)
    if len(body) > SMALL_BODY_BYTES:
        raise TooLarge(f"Request entity too large: it has {len(body)} bytes, limit is {SMALL_BODY_BYTES}")
    return body


def too_large() -> TooLarge:
    """Return the refusal of a body that has more than 3 MiB."""
    return TooLarge(f"Request entity too large: limit is {MOST_BODY_BYTES}")


def media_type(request: Request) -> str:
    """Return the body's type without parameters, lower case; empty when not given."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def read_object(body: bytes, type_: str) -> object:
    """Return the object in a body; a missing type is JSON, as some clients send none.

    Raises:
        BadRequest: it cannot be read.
        UnsupportedMediaType: it is of another type.
    """
    if type_ in ("", "application/json"):
        return reading.read_json(body)
    if type_ in _YAML:
        return reading.read_yaml(body)
    if type_ == protobuf.MEDIA_TYPE:
        return protobuf.read(body)
    raise _unsupported(("application/json", "application/yaml", protobuf.MEDIA_TYPE))


def read_patch(body: bytes, type_: str, *, takes_strategic: bool) -> object:
    """Return the patch in a body. Raises as `read_object` does."""
    match type_:
        case PatchType.STRATEGIC if not takes_strategic:
            raise _unsupported(tuple(each for each in PatchType if each.is_for_all))
        case PatchType.MERGE | PatchType.JSON | PatchType.STRATEGIC:
            return reading.read_json(body)
        case PatchType.APPLY:
            return reading.read_json(body) if body.lstrip()[:1] == b"{" else reading.read_yaml(body)
        case _:
            raise _unsupported(tuple(PatchType))


def _unsupported(accepted: tuple[str, ...]) -> UnsupportedMediaType:
    return UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    )


def is_set(request: HTTPConnection, name: str) -> bool:
    """Return a boolean parameter, read as Go's ParseBool does.

    Raises:
        BadRequest: it is neither true nor false.
    """
    text = request.query_params.get(name, "")
    if text not in (*_TRUE, *_FALSE):
        raise BadRequest(f'cannot read {name}="{text[:40]}": use true or false')
    return text in _TRUE


def number(request: Request, name: str) -> int | None:
    """Return a parameter that is a whole number, or None if it is not given.

    Raises:
        BadRequest: it is something else.
    """
    text = request.query_params.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest(f'cannot read {name}="{text[:40]}": it must be a whole number of at most 18 digits')
    return int(text)


def signed_number(request: Request, name: str) -> int:
    """Return a parameter that is a whole number, also one below 0; 0 if it is not given.

    Raises:
        BadRequest: it is something else.
    """
    text = request.query_params.get(name, "")
    digits = text.removeprefix("-")
    if text and not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise BadRequest(f'cannot read {name}="{text[:40]}": it must be a whole number of at most 18 digits')
    return int(text or "0")


def write_options(request: Request, *, is_apply: bool = False) -> WriteOptions:
    """Return how a write is to be done, and by whom.

    Raises:
        Invalid: one of the options has no such value.
    """
    manager = request.query_params.get("fieldManager", "")
    if len(manager) > _MOST_MANAGER or not manager.isprintable():
        why = f"Invalid value: must be at most {_MOST_MANAGER} printable characters"
        raise Invalid(f"fieldManager: {why}", causes=[Cause("fieldManager", "FieldValueInvalid", why)])
    if not is_apply and not manager:
        manager = user_agent(request)
    return WriteOptions(
        field_manager=manager,
        dry_run=is_dry_run(request.query_params.getlist("dryRun")),
        force=is_apply and is_set(request, "force"),
        field_validation=request.query_params.get("fieldValidation", "Warn"),
        admit=request.state.admit,
    )


def user_agent(request: Request) -> str:
    """Return the program that sends the request, as its field manager is called."""
    name = request.headers.get("user-agent", "").partition("/")[0].strip()
    return name[:_MOST_MANAGER] if name and name.isprintable() else "unknown"


def is_dry_run(values: list[object] | list[str]) -> bool:
    """Return whether a write is to be tried only.

    Raises:
        Invalid: a value is not All.
    """
    wrong = [value for value in values if value != "All"]
    if wrong:
        why = f'Unsupported value: "{str(wrong[0])[:40]}": supported values: "All"'
        raise Invalid(f"dryRun: {why}", causes=[Cause("dryRun", "FieldValueNotSupported", why)])
    return bool(values)
