import pytest

from api.errors import BadRequest
from api.kinds import EVENT, JOB, POD
from api.objects import selectors


def labelled(**labels):
    return {"metadata": {"name": "etl", "namespace": "default", "labels": labels}}


@pytest.mark.parametrize(
    ("text", "labels", "is_selected"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a=b", {"a": "c"}, False),
        ("a==b", {"a": "b"}, True),
        ("a = b", {"a": "b"}, True),
        ("a!=b", {"a": "c"}, True),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a=", {"a": ""}, True),
        ("a", {"a": ""}, True),
        ("a", {}, False),
        ("!a", {}, True),
        ("!a", {"a": "b"}, False),
        ("a in (b, c)", {"a": "c"}, True),
        ("a in (b,c)", {"a": "d"}, False),
        ("a in (b)", {}, False),
        ("a notin (b,c)", {"a": "d"}, True),
        ("a notin (b)", {}, True),
        ("a notin (b)", {"a": "b"}, False),
        ("a=b,c in (d,e),!f", {"a": "b", "c": "e"}, True),
        ("a=b,c in (d,e),!f", {"a": "b", "c": "e", "f": ""}, False),
        ("example.com/a.b_c=x", {"example.com/a.b_c": "x"}, True),
        ("a>1", {"a": "2"}, True),
        ("a > 1", {"a": "10"}, True),
        ("a>2", {"a": "2"}, False),
        ("a<2", {"a": "1"}, True),
        ("a<2", {"a": "2"}, False),
        ("a<2", {}, False),
        ("a>1", {"a": "x"}, False),
        ("a>1", {"a": "2.5"}, False),
        ("a>1", {"a": "9223372036854775808"}, False),
        ("a>1,a<9", {"a": "5"}, True),
    ],
)
def test_labels_are_selected_as_kubernetes_does(text, labels, is_selected):
    assert selectors.parse(JOB, text, None).matches(labelled(**labels)) is is_selected


@pytest.mark.parametrize(
    "text",
    [
        "a=b=c",
        "a in b",
        "a in (b",
        "=b",
        "a b",
        ",",
        "a,,b",
        "a in ()(",
        "-a=b",
        "a=b!",
        "a in (b c)",
        "a>",
        "a>b",
        "a>-1",
        "a>=1",
        "a<b>c",
    ],
)
def test_what_is_no_label_selector_is_refused(text):
    with pytest.raises(BadRequest, match="unable to parse requirement"):
        selectors.parse(JOB, text, None)


@pytest.mark.parametrize(
    ("text", "is_selected"),
    [
        ("metadata.name=etl", True),
        ("metadata.name==etl,metadata.namespace=default", True),
        ("metadata.name!=etl", False),
        ("status.phase=Running", True),
        ("status.phase!=Failed", True),
        ("spec.runtime=", True),
    ],
)
def test_fields_are_selected(text, is_selected):
    document = labelled() | {"status": {"phase": "Running"}}

    assert selectors.parse(JOB, None, text).matches(document) is is_selected


def test_events_are_selected_by_what_they_are_about():
    event = {"metadata": {}, "involvedObject": {"kind": "Job", "name": "etl", "uid": "u"}, "type": "Warning"}
    text = "involvedObject.kind=Job,involvedObject.name=etl,involvedObject.uid=u,type=Warning,reason!=Started"

    assert selectors.parse(EVENT, None, text).matches(event)


def test_pods_are_selected_by_their_phase_and_node():
    pod = {"metadata": {}, "status": {"phase": "Running"}, "spec": {"nodeName": "h"}}

    assert selectors.parse(POD, None, "status.phase=Running,spec.nodeName=h").matches(pod)


@pytest.mark.parametrize("text", ["spec.command=x", "metadata.labels.a=b", "metadata.uid=1"])
def test_other_fields_are_refused(text):
    with pytest.raises(BadRequest, match="field label not supported: " + text.partition("=")[0]):
        selectors.parse(JOB, None, text)


def test_what_is_no_field_selector_is_refused():
    with pytest.raises(BadRequest, match="invalid field selector"):
        selectors.parse(JOB, None, "metadata.name")


def test_an_empty_selector_leaves_nothing_out():
    assert not selectors.parse(JOB, "", "")
    assert selectors.parse(JOB, "a", None)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("status.phse=Failed", "status.phse: did you mean status.phase?"),
        ("x=y", "x: use metadata.name, metadata.namespace, status.phase, spec.runtime"),
    ],
)
def test_a_field_that_cannot_be_selected_by_is_told_with_those_that_can(text, hint):
    with pytest.raises(BadRequest) as refused:
        selectors.parse(JOB, None, text)

    assert str(refused.value) == f"field label not supported: {hint}"
