"""A template and the values of its parameters become a build, or the reasons why not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.types.runtime_sources import TemplateSource
from api.types.runtime_template import RuntimeTemplate
from controller.engine.errors import TerminalError
from controller.runtime.sources import templates


def a_template(parameters: list[object], **build: object) -> RuntimeTemplate:
    spec = {"parameters": parameters, "build": build}
    document = {"metadata": {"name": "t"}, "spec": spec}
    return RuntimeTemplate.model_validate_json(json.dumps(document), strict=True)


def instantiate(template: RuntimeTemplate, **parameters: str):
    return templates.instantiate(template, TemplateSource(name="t", parameters=parameters))


def refused(template: RuntimeTemplate, **parameters: str) -> str:
    with pytest.raises(TerminalError) as caught:
        instantiate(template, **parameters)
    assert caught.value.reason == "InvalidTemplate"
    return caught.value.message


VERSION = {"name": "version", "default": "3.11", "allowed": ["3.11", "3.12"]}


def test_parameters_stand_for_their_values_in_every_text():
    template = a_template(
        [VERSION, {"name": "package"}, {"name": "limit", "default": "512MB"}],
        base={"language": "python", "version": "${version}"},
        pip=["${package}==1.0", "other"],
        files=[{"path": "/etc/${package}.ini", "text": "v=${version}"}],
        environment={"VERSION": "${version}-${package}"},
        run=["echo ${package} ${HOME} $HOME"],
        requirements={"minMemory": "${limit}"},
        resources={"timeoutSeconds": 60},
    )
    build = instantiate(template, package="numpy", version="3.12")

    assert (build.base.language, build.base.version) == ("python", "3.12")
    assert build.pip == ("numpy==1.0", "other")
    assert (build.files[0].path, build.files[0].text) == ("/etc/numpy.ini", "v=3.12")
    assert build.environment == {"VERSION": "3.12-numpy"}
    assert build.run == ("echo numpy ${HOME} $HOME",)
    assert build.requirements.min_memory == "512MB"
    assert build.resources.timeout_seconds == 60


def test_all_that_is_wrong_with_the_parameters_is_said_at_once():
    template = a_template([VERSION, {"name": "package"}])

    assert refused(template, version="2.7", packgae="x") == (
        'cannot use the template t: parameter "package" is required; parameter "version" may be 3.11, 3.12, not "2.7"; '
        'there is no parameter "packgae": there are version, package'
    )


def test_a_result_that_is_no_build_is_refused_with_the_fields():
    template = a_template(
        [{"name": "name"}], environment={"${name}": "1"}, base={"langauge": 3}, files=[{"path": "/${name}", "text": ""}]
    )
    said = refused(template, name="../x")

    assert "environment: Invalid value" in said
    assert "files[0].path: Invalid value" in said


def test_a_file_of_a_template_may_have_a_parameter_for_its_whole_path():
    template = a_template([{"name": "path"}], files=[{"path": "${path}", "text": ""}])

    assert instantiate(template, path="/etc/x").files[0].path == "/etc/x"


@given(st.text(max_size=30))
def test_a_value_is_put_in_once_whatever_it_holds(value: str):
    template = a_template([{"name": "a"}, {"name": "b", "default": "x"}], run=["${a}"])

    assert instantiate(template, a=value).run == (value,)
