"""How results look."""

import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from api.cli import connection, output
from api.objects import reading


def test_columns_are_aligned_and_lines_have_no_spaces_at_their_end():
    assert output.columns([["NAME", "PHASE", "X"], ["etl", "?", ""]]) == ["NAME   PHASE   X", "etl    ?"]


def test_what_an_object_holds_cannot_steer_the_terminal():
    assert output.columns([["\x1b[2J", "a\nb"]]) == [r"\x1b[2J   a\nb"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (599, "9m59s"), (10800, "3h"), (100_000, "27h"), (864_000, "10d")],
)
def test_an_age_has_two_units_at_most(seconds, shown):
    assert output.duration(seconds) == shown


def test_a_time_in_the_future_is_no_age():
    assert output.age("2026-01-01T00:00:09Z", datetime(2026, 1, 1, tzinfo=UTC)) == "0s"


def test_yaml_leaves_managed_fields_out_and_json_nothing(capsys):
    job = {"metadata": {"name": "a", "managedFields": [{"manager": "rnx"}]}}

    output.show_yaml({"items": [job]})
    output.show_json(job)

    yaml, json = capsys.readouterr().out.split("{", 1)
    assert "managedFields" not in yaml
    assert "managedFields" in json


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_are_left_out_where_they_are_not_wanted_or_not_known(name, value, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert not connection.colours_refused()

    monkeypatch.setenv(name, value)
    assert connection.colours_refused()


_texts = (
    st.text(max_size=8)
    | st.text("0123456789.eExo+-_:#'\"\x85\u2028 \n", max_size=6)
    | st.sampled_from(["yes", "<<", "~", ".inf"])
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | _texts,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(_texts, below, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_texts, _values, max_size=3))
def test_what_is_shown_as_yaml_reads_back_as_it_is(document):
    assume(not re.search("[\ud800-\udfff]", json.dumps(document, ensure_ascii=False)))  # Half a character is no text.

    assert reading.read_yaml(output.yaml_of(document).encode()) == document
