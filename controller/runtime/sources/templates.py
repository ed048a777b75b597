"""From a RuntimeTemplate and the values of its parameters to a build. Pure.

`${NAME}` of a parameter that the template declares stands for its value, in every text of the build; any other `${…}`
stays as it is, because shells use it too. Values are put in once: what they hold is not looked at again.
Invariant: the result is a build that admission would take, or the reasons why not, all at once.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from api.objects import causes
from api.types.runtime import RuntimeReason
from api.types.runtime_sources import BuildSource, TemplateSource
from api.types.runtime_template import RuntimeTemplate, TemplateParameter
from controller.engine.errors import TerminalError

_PLACE = re.compile(r"\$\{([A-Za-z][A-Za-z0-9_]*)\}")


def instantiate(template: RuntimeTemplate, wanted: TemplateSource) -> BuildSource:
    """Return the build that `template` and the parameters of `wanted` make.

    Raises:
        TerminalError: InvalidTemplate, with everything that is wrong.
    """
    name = template.meta.name
    values, problems = _values(template.spec.parameters, wanted.parameters)
    if problems:
        raise _invalid(name, problems)
    document = _filled(template.spec.build.to_document(), values)
    try:
        return BuildSource.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise _invalid(name, [str(cause) for cause in causes.of(error)]) from None


def _values(parameters: tuple[TemplateParameter, ...], given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the value of each parameter, and what is wrong with those that were given."""
    declared = {parameter.name: parameter for parameter in parameters}
    there = ", ".join(declared) or "none"
    problems = [f'there is no parameter "{name}": there are {there}' for name in given.keys() - declared.keys()]
    values: dict[str, str] = {}
    for name, parameter in declared.items():
        value = given.get(name, parameter.default)
        if value is None:
            problems.append(f'parameter "{name}" is required')
        elif parameter.allowed and value not in parameter.allowed:
            problems.append(f'parameter "{name}" may be {", ".join(parameter.allowed)}, not "{value}"')
        else:
            values[name] = value
    return values, sorted(problems)


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _PLACE.sub(lambda match: values.get(match[1], match[0]), value)
    if isinstance(value, dict):
        return {_filled(key, values): _filled(below, values) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(below, values) for below in value]
    return value


def _invalid(name: str, problems: list[str]) -> TerminalError:
    message = f"cannot use the template {name}: {'; '.join(problems)}"
    return TerminalError(RuntimeReason.INVALID_TEMPLATE, message)
