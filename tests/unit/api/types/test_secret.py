"""Secret and ConfigMap: their rules, stringData, immutability; and no value in any message."""

import pytest

from api.errors import ApiError, Invalid
from api.kinds import CONFIG_MAP, SECRET
from support.objects import by
from support.secret_objects import PASSWORD, a_config_map, a_secret, b64, shows

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
ME = by("me")


@pytest.fixture
def db(verbs):
    return verbs.create(SECRET, "default", a_secret(), ME).document


def refusal(verbs, kind, document):
    with pytest.raises(ApiError) as refused:
        verbs.create(kind, "default", document, ME)
    return refused.value


def test_string_data_becomes_data_and_is_not_read_back(verbs, db):
    assert db["data"] == {"password": b64(PASSWORD)}
    assert "stringData" not in verbs.get(SECRET, "default", "db")
    assert db["type"] == "Opaque"


def test_string_data_wins_over_data_and_over_what_is_stored(verbs):
    both = a_secret(data={"a": b64("1"), "b": b64("2")}, stringData={"a": "3"})
    assert verbs.create(SECRET, "default", both, ME).document["data"] == {"a": b64("3"), "b": b64("2")}
    patched = verbs.patch(SECRET, "default", "db", {"stringData": {"b": "4"}}, MERGE, ME).document
    assert patched["data"] == {"a": b64("3"), "b": b64("4")}


def test_each_key_is_owned_by_who_applied_it_and_goes_with_its_word(verbs):
    verbs.apply(SECRET, "default", "db", a_secret(stringData={"a": "1", "b": "2"}), by("me"))
    verbs.apply(SECRET, "default", "db", a_secret(data={"c": b64("3")}), by("you"))
    applied = verbs.apply(SECRET, "default", "db", a_secret(stringData={"a": "1"}), by("me")).document
    assert applied["data"] == {"a": b64("1"), "c": b64("3")}
    assert applied["type"] == "Opaque"
    again = verbs.apply(SECRET, "default", "db", a_secret(stringData={"a": "1"}), by("me")).document
    assert again == applied


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"data": {"a b": ""}}, "data", 'key "a b": a valid key must consist of'),
        ({"data": {"..": ""}}, "data", 'key ".."'),
        ({"data": {"..a": ""}}, "data", 'key "..a"'),
        ({"data": {"a": "no base64!"}}, "data", 'the value of key "a" is not base64'),
        ({"data": {"a": b64("x" * (1 << 20) + "x")}}, "data", "must have at most 1048576 bytes"),
        ({"data": {"a": 12345}}, "data.a", "must be a string"),
        ({"stringData": {"a": True}}, "stringData.a", "must be a string"),
        ({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}, "", "data needs tls.key"),
        ({"type": "kubernetes.io/basic-auth"}, "", "data needs username or password"),
    ],
)
def test_a_secret_that_breaks_a_rule_is_refused_by_field(verbs, fields, field, why):
    refused = refusal(verbs, SECRET, a_secret(**fields))
    assert isinstance(refused, Invalid)
    assert why in refused.message
    assert [cause.field for cause in refused.causes] == [field]


@pytest.mark.invariant("S24")
@pytest.mark.parametrize(
    "fields",
    [
        {"data": {"a": PASSWORD}},
        {"data": PASSWORD},
        {"data": {"a": {"b": PASSWORD}}, "stringData": {"a": [PASSWORD]}},
        {"data": {"a": b64(PASSWORD)}, "immutable": PASSWORD},
        {"data": {"a b": b64(PASSWORD)}},
        {"type": "kubernetes.io/tls", "data": {"a": b64(PASSWORD)}},
        {"stringData": PASSWORD},
        {"type": 5, "stringData": {"a": PASSWORD}},
    ],
)
def test_no_refusal_has_a_value_of_a_secret(verbs, fields):
    refused = refusal(verbs, SECRET, a_secret(**fields))
    assert not shows(str(refused.status()))


@pytest.mark.invariant("S24")
@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/password", "value": "other"},
        {"op": "remove", "path": "/data/password/deeper"},
        {"op": "add", "path": "/data/password/deeper", "value": "x"},
        {"op": "replace", "path": "/data/missing", "value": PASSWORD},
        {"op": "move", "from": "/data/nothing", "path": "/data/x"},
    ],
)
def test_no_refused_patch_tells_what_it_met(verbs, db, operation):
    with pytest.raises(ApiError) as refused:
        verbs.patch(SECRET, "default", "db", [operation], JSON_PATCH, ME)
    assert not shows(str(refused.value.status()))


@pytest.mark.parametrize(("kind", "document", "field"), [
    (SECRET, a_secret(immutable=True, data={"a": b64("1")}), "data"),
    (CONFIG_MAP, a_config_map("db", immutable=True, data={"a": "1"}), "data"),
    (CONFIG_MAP, a_config_map("db", immutable=True, binaryData={"a": b64("1")}), "binaryData"),
])  # fmt: skip
def test_what_is_immutable_keeps_its_values_and_its_word(verbs, kind, document, field):
    verbs.create(kind, "default", document, ME)
    for change in ({field: {"a": b64("2")}}, {field: {"b": b64("2")}}, {"immutable": False}, {"immutable": None}):
        with pytest.raises(Invalid, match="field is immutable when `immutable` is set"):
            verbs.patch(kind, "default", "db", change, MERGE, ME)
    changed = {name: value for name, value in document.items() if name != field} | {field: {"a": b64("2")}}
    with pytest.raises(Invalid, match="field is immutable when"):
        verbs.apply(kind, "default", "db", changed, by("you", force=True))
    labelled = verbs.patch(kind, "default", "db", {"metadata": {"labels": {"a": "b"}}}, MERGE, ME).document
    assert labelled["metadata"]["labels"] == {"a": "b"}


def test_the_type_never_changes(verbs, db):
    with pytest.raises(Invalid, match="type: Invalid value: field is immutable"):
        verbs.patch(SECRET, "default", "db", {"type": "mine"}, MERGE, ME)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"data": {"a/b": ""}}, 'key "a/b"'),
        ({"data": {"a": ""}, "binaryData": {"a": ""}}, 'key "a" is in binaryData too'),
        ({"binaryData": {"a": "?"}}, 'the value of key "a" is not base64'),
        ({"data": {"a": "x" * (1 << 19)}, "binaryData": {"b": b64("x" * (1 << 19) + "x")}}, "at most 1048576 bytes"),
    ],
)
def test_a_config_map_that_breaks_a_rule_is_refused(verbs, fields, why):
    assert why in refusal(verbs, CONFIG_MAP, a_config_map(**fields)).message


def test_columns_count_keys_and_show_no_value(verbs, db):
    cells = [column.cell(db) for column in SECRET.definition.columns]
    assert cells == ["Opaque", "1"]
    assert [
        column.cell(a_config_map(data={"a": ""}, binaryData={"b": ""})) for column in CONFIG_MAP.definition.columns
    ] == ["2"]
