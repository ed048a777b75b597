import pytest

from api.errors import BadRequest, Invalid, TooLarge
from api.kinds import EVENT, JOB, KINDS, NAMESPACE, NETWORK, REGISTRY, RUNTIME
from api.objects import admission
from api.objects.admission import WriteOptions
from support.objects import a_job, a_runtime, admit

WARN = WriteOptions()


def causes(document, kind=JOB):
    with pytest.raises(Invalid) as caught:
        admit(kind, document, "default", WARN)
    return [(cause.field, cause.reason, cause.message) for cause in caught.value.causes]


def test_a_good_object_is_admitted_as_it_was_said():
    admitted = admit(JOB, a_job(resources={"limits": {"cpu": 2}}), "default", WARN)

    assert admitted.document == a_job(metadata={"namespace": "default"}, resources={"limits": {"cpu": 2}})
    assert admitted.warnings == ()


def test_defaults_are_not_written_into_the_object():
    assert "backoffLimit" not in admit(JOB, a_job(), "default", WARN).document["spec"]


def test_all_that_is_wrong_is_said_at_once_with_field_reason_and_text():
    document = a_job(
        metadata={"labels": {"a": 1}},
        command=[],
        env=[{"value": "x"}, {"name": "JOB_X"}],
        installPolicy="Always",
        backoffLimit="six",
        resources={"limits": {"memory": "64"}},
        files=[{"path": "../x", "text": ""}],
    )

    assert causes(document) == [
        ("metadata.labels.a", "FieldValueTypeInvalid", 'Invalid value: 1: must be a string: write "1"'),
        (
            "spec.installPolicy",
            "FieldValueNotSupported",
            'Unsupported value: "Always": supported values: "IfNotPresent", "Never"',
        ),
        ("spec.command", "FieldValueRequired", "Required value"),
        ("spec.env[0].name", "FieldValueRequired", "Required value"),
        ("spec.env[1].name", "FieldValueForbidden", "Forbidden: names starting with JOB_ are set by runwright"),
        (
            "spec.files[0].path",
            "FieldValueInvalid",
            'Invalid value: "../x": must be a relative path inside /work, without . or ..',
        ),
        (
            "spec.resources.limits.memory",
            "FieldValueInvalid",
            'Invalid value: "64": must be at least 4Mi; write 64Mi, not 64, for mebibytes',
        ),
        ("spec.backoffLimit", "FieldValueTypeInvalid", 'Invalid value: "six": must be an integer'),
    ]


def test_a_number_out_of_bounds_says_the_bound():
    assert causes(a_job(backoffLimit=-1)) == [
        ("spec.backoffLimit", "FieldValueInvalid", "Invalid value: -1: must be greater than or equal to 0")
    ]


def test_a_repeated_key_is_a_duplicate():
    assert causes(a_job(env=[{"name": "A"}, {"name": "A"}])) == [
        ("spec.env", "FieldValueDuplicate", 'Duplicate value: "A" is there twice')
    ]


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("suspend", "yes", "true or false"),
        ("env", {}, "a list"),
        ("resources", [], "an object"),
        ("backoffLimit", True, "an integer"),
    ],
)
def test_types_are_those_of_json_and_not_guessed(field, value, text):
    ((_, reason, message),) = causes(a_job(**{field: value}))

    assert reason == "FieldValueTypeInvalid"
    assert message.endswith(f"must be {text}")


def test_a_list_whose_items_are_wrong_is_not_said_to_have_none_beside_them():
    assert causes(a_job(command=[True, ["sleep"]])) == [
        ("spec.command[0]", "FieldValueTypeInvalid", 'Invalid value: true: must be a string: write "true"'),
        ("spec.command[1]", "FieldValueTypeInvalid", 'Invalid value: ["sleep"]: must be a string'),
    ]


def test_a_long_list_of_causes_is_cut():
    found = causes(a_job(env=[{"value": "x"} for _ in range(200)]))

    assert len(found) == 51
    assert found[-1][2] == "and 150 more"


def test_a_long_value_is_cut_in_its_message():
    ((_, _, message),) = causes(a_job(workingDir="x" * 10_000))

    assert len(message) < 250


@pytest.mark.parametrize("name", ["Etl", "-etl", "etl-", "e.tl", "e_tl", "a" * 64, "../x", "é", "etl\n"])
def test_the_name_of_a_job_is_a_label(name):
    ((field, reason, message),) = causes(a_job(name))

    assert (field, reason) == ("metadata.name", "FieldValueInvalid")
    assert "RFC 1123" in message or "63 characters" in message


@pytest.mark.parametrize("name", ["python-3.11-ml", "a", "a" * 64])
def test_the_name_of_a_runtime_has_its_own_grammar(name):
    assert admit(RUNTIME, a_runtime(name), "", WARN).document["metadata"] == {"name": name}


@pytest.mark.parametrize("name", ["Python", "a..b", "a" * 65, "a@1.0.0", "-a"])
def test_a_bad_name_of_a_runtime_is_refused(name):
    assert causes(a_runtime(name), RUNTIME)[0][0] == "metadata.name"


def test_other_names_are_subdomains():
    registry = {"metadata": {"name": "a.b-c.example"}, "spec": {"url": "owner/repo"}}
    assert admit(REGISTRY, registry, "", WARN)

    assert causes(registry | {"metadata": {"name": "a..b"}}, REGISTRY)[0][0] == "metadata.name"


def test_a_name_or_a_prefix_of_one_is_needed():
    assert causes({"spec": {"command": ["true"]}})[0][:2] == ("metadata.name", "FieldValueRequired")
    document = {"metadata": {"generateName": "etl-"}, "spec": {"command": ["true"]}}
    assert admit(JOB, document, "default", WARN)
    document["metadata"]["generateName"] = "Etl-"
    assert causes(document)[0][0] == "metadata.generateName"


@pytest.mark.parametrize(
    "labels", [{"a b": "x"}, {"/a": "x"}, {"A.b/c": "x"}, {"a": "x y"}, {"a": "-x"}, {"a": "x" * 64}, {"a" * 64: "x"}]
)
def test_bad_labels_are_refused(labels):
    assert causes(a_job(metadata={"labels": labels}))[0][:2] == ("metadata.labels", "FieldValueInvalid")


def test_annotations_hold_any_text_up_to_a_size():
    assert admit(JOB, a_job(metadata={"annotations": {"Example.com/a": "any\ntext"}}), "default", WARN)

    found = causes(a_job(metadata={"annotations": {"a": "x" * (257 << 10)}}))
    assert found[0][:2] == ("metadata.annotations", "FieldValueTooLong")


def test_bad_finalizers_are_refused():
    assert causes(a_job(metadata={"finalizers": ["ok/x", "not ok"]}))[0][0] == "metadata.finalizers[1]"


def test_unknown_fields_are_pruned_with_a_warning_each():
    admitted = admit(JOB, a_job(bogus=1) | {"odd": 2}, "default", WARN)

    assert sorted(admitted.warnings) == ['unknown field "odd"', 'unknown field "spec.bogus"']
    assert "bogus" not in admitted.document["spec"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"comand": []}, 'unknown field "spec.comand": did you mean command?'),
        ({"env": [{"nam": "A"}]}, 'unknown field "spec.env[0].nam": did you mean name?'),
        (
            {"resources": {"limits": {"memroy": "1Gi"}}},
            'unknown field "spec.resources.limits.memroy": did you mean memory?',
        ),
        ({"": 1}, 'unknown field "spec."'),
        ({"comand" * 20: 1}, f'unknown field "spec.{"comand" * 20}"'),
    ],
)
def test_an_unknown_field_is_told_with_what_it_is_like(spec, said):
    assert admission.receive(JOB, a_job(**spec), "default", WARN).warnings == (said,)


def test_of_many_unknown_fields_only_the_first_are_compared():
    """Else one object of a stranger could take the server's time."""
    warnings = admission.receive(JOB, a_job(**{f"comand{n}": n for n in range(50)}), "default", WARN).warnings

    assert [": did you mean command?" in line for line in warnings] == [True] * 10 + [False] * 40


def test_unknown_fields_are_refused_when_strict():
    with pytest.raises(BadRequest) as caught:
        admit(JOB, a_job(bogus=1), "default", WriteOptions(field_validation="Strict"))

    assert caught.value.message == (
        'Job in version "v1alpha1" cannot be handled as a Job: strict decoding error: unknown field "spec.bogus"'
    )


def test_unknown_fields_are_pruned_in_silence_when_ignored():
    admitted = admit(JOB, a_job(bogus=1), "default", WriteOptions(field_validation="Ignore"))

    assert (admitted.document["spec"], admitted.warnings) == ({"command": ["true"]}, ())


def test_another_way_to_treat_unknown_fields_is_refused():
    with pytest.raises(Invalid, match="use Strict, Warn or Ignore"):
        admit(JOB, a_job(), "default", WriteOptions(field_validation="Maybe"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "Runtime"}, "the kind in the data"),
        ({"apiVersion": "batch/v1"}, "the API version in the data"),
        ({"metadata": {"name": "etl", "namespace": "other"}}, "does not match the namespace sent on the request"),
        ({"metadata": []}, "metadata is not an object"),
    ],
)
def test_an_object_that_is_not_what_the_request_is_about_is_refused(change, message):
    with pytest.raises(BadRequest, match=message):
        admit(JOB, a_job() | change, "default", WARN)


def test_the_name_must_be_that_of_the_url():
    with pytest.raises(BadRequest, match="does not match the name on the URL"):
        admission.receive(JOB, a_job("other"), "default", WARN, name="etl")


def test_type_meta_and_namespace_may_be_left_out():
    document = {"metadata": {"name": "etl"}, "spec": {"command": ["true"]}}

    assert admit(JOB, document, "ns", WARN).document == a_job(metadata={"namespace": "ns"})


def test_a_namespace_on_what_has_none_is_dropped():
    document = a_runtime() | {"metadata": {"name": "python-3.11", "namespace": "default"}}

    assert admit(RUNTIME, document, "", WARN).document["metadata"] == {"name": "python-3.11"}


def test_an_object_that_is_too_large_is_refused_with_its_size():
    with pytest.raises(TooLarge, match=r'cannot store Job "etl": it has \d+ bytes, the most is 1572864'):
        admit(JOB, a_job(args=["x" * admission.MOST_BYTES]), "default", WARN)


@pytest.mark.parametrize("args", [[float("nan")], [float("inf")], ["\ud800"], [{1, 2}], [b"x"]])
def test_what_is_not_json_is_refused(args):
    with pytest.raises(BadRequest, match='cannot read Job "etl"'):
        admit(JOB, a_job(args=args), "default", WARN)


@pytest.mark.parametrize("document", [None, [], "x", 3])
def test_what_is_no_object_is_refused(document):
    with pytest.raises(BadRequest):
        admit(JOB, document, "default", WARN)
    with pytest.raises(BadRequest, match="not a mapping"):
        admission.identify(document)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_object_is_identified_by_what_it_says(kind):
    assert admission.identify({"apiVersion": kind.api_version, "kind": kind.name}) is kind


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "it has no kind: write kind: Job"),
        ({"kind": "Job"}, "it has no apiVersion: write apiVersion: runwright.dev/v1alpha1"),
        ({"kind": "Jub", "apiVersion": "v1"}, 'no matches for kind "Jub" in version "v1": did you mean Job?'),
        ({"kind": "Xyz", "apiVersion": "v1"}, 'no matches for kind "Xyz" in version "v1": there are Job, Runtime'),
        (
            {"kind": "Job", "apiVersion": "batch/v1"},
            'no matches for kind "Job" in version "batch/v1": use runwright.dev',
        ),
        ({"kind": ["Job"], "apiVersion": "v1"}, "it has no kind"),
        ({"version": 1, "jobs": {"a": {"command": "x"}}}, "rnx workflow run FILE"),
    ],
)
def test_what_cannot_be_identified_is_refused_with_what_could_be(document, message):
    with pytest.raises(BadRequest) as caught:
        admission.identify(document)

    assert message in caught.value.message


def test_events_and_namespaces_are_admitted_too():
    event = {"metadata": {"generateName": "e-"}, "involvedObject": {"kind": "Job"}, "reason": "Started", "count": 2}
    assert admit(EVENT, event, "default", WARN).document["count"] == 2
    assert causes({"metadata": {"name": "a.b"}}, NAMESPACE)[0][0] == "metadata.name"


@pytest.mark.parametrize("name", ["none", "host"])
def test_no_network_is_called_what_jobs_say_that_want_none_of_their_own(name):
    metadata = {"name": name, "namespace": "default"}
    network = {"apiVersion": NETWORK.api_version, "kind": "Network", "metadata": metadata, "spec": {}}
    with pytest.raises(Invalid, match="choose another name"):
        admission.validate(NETWORK, network)
