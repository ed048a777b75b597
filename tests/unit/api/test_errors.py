import inspect

import pytest

from api import errors
from api.errors import About, AlreadyExists, ApiError, Cause, Conflict, Invalid, NotFound

ETL = About("runwright.dev", "jobs", "etl")
CLASSES = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, ApiError)]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (400, "BadRequest"), (401, "Unauthorized"), (403, "Forbidden"), (404, "NotFound"), (405, "MethodNotAllowed"),
        (406, "NotAcceptable"), (409, "AlreadyExists"), (409, "Conflict"), (408, "RequestTimeout"), (410, "Expired"),
        (413, "RequestEntityTooLarge"), (415, "UnsupportedMediaType"), (422, "Invalid"), (429, "TooManyRequests"),
        (500, "InternalError"), (503, "ServiceUnavailable"), (504, "Timeout"),
    ],
)  # fmt: skip
def test_there_is_one_class_for_each_reason(code, reason):
    assert [each.code for each in CLASSES if each.reason == reason] == [code]


def test_a_missing_object_is_named_by_its_resource():
    status = NotFound.of(ETL).status()

    assert status == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'jobs.runwright.dev "etl" not found',
        "reason": "NotFound",
        "code": 404,
        "details": {"name": "etl", "group": "runwright.dev", "kind": "jobs"},
    }
    assert NotFound.of(About("", "pods", "x")).message == 'pods "x" not found'
    assert AlreadyExists.of(ETL).message == 'jobs.runwright.dev "etl" already exists'


def test_an_invalid_object_is_named_by_its_kind_with_all_causes():
    causes = [Cause("spec.command", "FieldValueRequired", "Required value"), Cause("", "FieldValueInvalid", "is odd")]
    error = Invalid.of(About("runwright.dev", "Job", "etl"), causes)

    assert error.message == 'Job.runwright.dev "etl" is invalid: [spec.command: Required value, is odd]'
    assert error.status()["details"]["causes"][0] == {
        "reason": "FieldValueRequired",
        "message": "Required value",
        "field": "spec.command",
    }


def test_a_single_cause_stands_without_brackets():
    error = Invalid.of(About("", "Pod", "x"), [Cause("spec", "FieldValueRequired", "Required value")])

    assert error.message == 'Pod "x" is invalid: spec: Required value'


def test_a_stale_write_says_both_versions_and_what_to_do():
    message = Conflict.stale(ETL, sent="41", current="44").message

    assert "please apply your changes to the latest version and try again" in message
    assert "(you sent resourceVersion 41, current is 44)" in message


def test_when_to_come_back_is_in_the_details():
    error = errors.TooManyRequests("later")
    error.retry_after_seconds = 5

    assert error.status()["details"] == {"retryAfterSeconds": 5}
