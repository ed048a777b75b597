"""The same text, as a file in the directory, through the command line and in the body of a request."""

import pytest

from api.cli import files
from api.http.requests import read_object, read_patch
from api.objects import reading
from controller.manifests import documents

SCALARS = [
    "on", "off", "On", "yes", "no", "NO", "y", "n", "true", "True", "TRUE", "false", "FALSE", "tRue",
    "null", "Null", "~", "", "0", "-0", "+7", "0o3", "0644", "0o644", "089", "0x1F", "0b11", "1_000", "1:30", "190:20:30",
    "1e1", "1E1", "1.", ".5", "-1.5e-3", "3.10", "1.2.3", "1e", "0.", "12:30:00", "2026-01-02", "2026-01-02T03:04:05Z",
    "64Mi", "=", "<<", "'on'", '"1"', "!!str 123", "!!str on", "! 1", "|-\n  1", "[yes, NO, 0o3]", "{on: off, 1: 1_0}",
]  # fmt: skip
REFUSED = [".inf", "-.INF", ".nan", "1e999", "!!int '3'", "!!bool yes", "!!binary aGk=", "!!set {a}", "!mine x", "*x"]


def as_a_file(text: str) -> object:
    [parsed] = documents.read(text.encode())
    return parsed.document


def by_command_line(text: str) -> object:
    [found] = files.parse("f.yaml", text.encode())
    if isinstance(found, files.BadManifest):
        raise found
    return found.document


def in_a_request(text: str) -> object:
    created = read_object(text.encode(), "application/yaml")
    assert repr(created) == repr(read_patch(text.encode(), "application/apply-patch+yaml", takes_strategic=False))
    return created


@pytest.mark.parametrize("scalar", SCALARS)
def test_a_text_means_the_same_whichever_way_it_comes_in(scalar: str):
    text = f"kind: Job\nv: {scalar}\n"

    # As text, for True == 1 == 1.0.
    assert repr(as_a_file(text)) == repr(by_command_line(text)) == repr(in_a_request(text))


@pytest.mark.parametrize("scalar", REFUSED)
def test_what_is_refused_is_refused_whichever_way_it_comes_in(scalar: str):
    text = f"kind: Job\nv: {scalar}\n"

    for read, error in (
        (as_a_file, documents.InvalidText), (by_command_line, files.BadManifest), (in_a_request, reading.BadRequest)
    ):  # fmt: skip
        with pytest.raises(error):
            read(text)


def test_words_that_older_yaml_takes_for_booleans_are_text_and_numbers_are_numbers():
    text = "suspend: on\nargs: [yes]\nvalue: NO\nbackoffLimit: 0o3\nbackoffSeconds: 1e1\n"
    wanted = {"suspend": "on", "args": ["yes"], "value": "NO", "backoffLimit": 3, "backoffSeconds": 10.0}

    assert as_a_file(text) == by_command_line(text) == in_a_request(text) == wanted


def test_merge_keys_mean_the_same_whichever_way_they_come_in():
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: *a, <<: *b, z: 3}\nd: {<<: [*a, *b]}\n"

    assert repr(as_a_file(text)) == repr(by_command_line(text)) == repr(in_a_request(text))


def test_json_means_the_same_whichever_way_it_comes_in():
    text = '{"kind": "Job", "n": [1, -0, 1.5, 1E5, true, null], "t": ["on", "1", "\\u00e9\\n"]}'

    assert repr(as_a_file(text)) == repr(by_command_line(text)) == repr(in_a_request(text))
    assert repr(as_a_file(text)) == repr(read_object(text.encode(), "application/json"))
