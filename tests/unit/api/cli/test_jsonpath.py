"""The part of JSONPath that people use with kubectl."""

import pytest

from api.cli import jsonpath

JOB = {
    "metadata": {"name": "etl", "labels": {"app.kubernetes.io/name": "x"}},
    "status": {
        "phase": "Running",
        "active": 1,
        "conditions": [{"type": "Complete", "status": "False"}, {"type": "Failed", "status": "True"}],
    },
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("{.status.phase}", ["Running"]),
        ("status.phase", ["Running"]),
        ("$.status.active", [1]),
        (".status.conditions[0].type", ["Complete"]),
        (".status.conditions[-1].type", ["Failed"]),
        (".status.conditions[*].status", ["False", "True"]),
        ('{.status.conditions[?(@.type=="Failed")].status}', ["True"]),
        (r".metadata.labels.app\.kubernetes\.io/name", ["x"]),
        (".metadata.labels['app.kubernetes.io/name']", ["x"]),
        (".nothing.here", []),
        (".status.conditions[9]", []),
    ],
)
def test_a_path_finds_what_is_there(path, found):
    assert jsonpath.find(path, JOB) == found


def test_a_template_keeps_the_text_around_its_paths():
    assert jsonpath.expand('{.metadata.name}: {.status.phase} {.status.active}{"\\n"}', JOB) == "etl: Running 1\n"


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ('{range .status.conditions[*]}{.type}={.status}{"\\n"}{end}', "Complete=False\nFailed=True\n"),
        ("<{range .status.conditions[*]}{.type};{ end }>", "<Complete;Failed;>"),
        ("{range .nothing[*]}{.x}{range .y[*]}{.z}{end}{end}none", "none"),
        ("{range .metadata}{.name}: {range .labels.*}[{@}]{end} {end}", "etl: [x] "),
    ],
)
def test_a_range_gives_its_template_once_for_each(template, shown):
    assert jsonpath.expand(template, JOB) == shown


def test_what_is_not_text_is_shown_as_json():
    assert jsonpath.expand("{.metadata.labels}", JOB) == '{"app.kubernetes.io/name": "x"}'


@pytest.mark.parametrize("path", ["{.a[}", ".a[?(@.x>1)]", ".a[x]", ".a[٠]"])
def test_what_is_no_path_is_refused_with_where_it_stops_being_one(path):
    with pytest.raises(jsonpath.BadPath, match="it stops making sense at"):
        jsonpath.find(path, {})


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{.metadata.name", r"a \{ is not closed: write \{\.metadata\.name\}"),
        ("{.status.phase} {.metadata.name", r"a \{ is not closed: write \{\.metadata\.name\}"),
        ("status.phase", r"it has no path in braces: write \{\.status\.phase\}"),
        ("", "it has no path in braces"),
        ("{range .items[*]}{.a}", r"a \{range PATH\} is not closed: write \{end\}"),
        ("{.a}{end}", r"an \{end\} has no \{range PATH\} before it"),
    ],
)
def test_a_template_that_would_print_itself_is_refused(template, said):
    with pytest.raises(jsonpath.BadPath, match=f"as a template: {said}"):
        jsonpath.expand(template, JOB)


def test_the_inside_of_a_range_is_read_though_there_is_nothing_to_show():
    with pytest.raises(jsonpath.BadPath, match="it stops making sense at"):
        jsonpath.expand("{range .items[*]}{.a[x]}{end}", {})
