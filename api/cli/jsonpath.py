"""JSONPath as kubectl uses it: `{.status.phase}`, `{.items[*].metadata.name}`, `{.c[?(@.type=="Ready")].status}`.

Pure. Here: fields, indexes, `*`, and filters that compare one field with a text. Nothing else of JSONPath.
"""

import json
import re
from typing import Any

_STEP = re.compile(
    r"""\.(?P<field>[^.\[\]{}]+) | \[(?P<index>-?\d+)\] | (?P<all>\[\*\]|\.\*)
      | \[\?\(\s*@\.(?P<key>[\w.-]+)\s*==\s*(?P<quote>["'])(?P<value>.*?)(?P=quote)\s*\)\]
      | \[(?P<quote2>["'])(?P<name>.*?)(?P=quote2)\]""",
    re.VERBOSE,
)


class BadPath(ValueError):
    """A text is not such a path; the message says where it stops being one."""


def find(path: str, document: Any) -> list[Any]:
    r"""Return the values at `path`, with or without braces and the leading dot.

    >>> find("{.a[*].b}", {"a": [{"b": 1}, {"b": 2}]})
    [1, 2]
    >>> find('.c[?(@.type=="Ready")].status', {"c": [{"type": "Ready", "status": "True"}]})
    ['True']

    Raises:
        BadPath: it cannot be read.
    """
    text = path.strip()
    text = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    text = text.removeprefix("$")
    text = text if text[:1] in (".", "[", "") else f".{text}"
    text, values, at = text.replace(r"\.", "\0"), [document], 0
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            raise BadPath(
                f'cannot read "{path}" as a path: it stops making sense at "{text[at:]}": write {{.status.phase}}'
            )
        values = [below for value in values for below in _below(value, step.groupdict())]
        at = step.end()
    return values


def expand(template: str, document: Any) -> str:
    """Return `template` with each {path} replaced by its values, separated by spaces. Raises BadPath."""
    _, brace, rest = re.sub(r"\{[^}]*\}", "", template).partition("{")
    if brace:
        raise BadPath(f'cannot read "{template}" as a template: a {{ is not closed: write {{{rest}}}')
    if "{" not in template:
        path = template if template.startswith(".") else f".{template or 'status.phase'}"
        raise BadPath(f'cannot read "{template}" as a template: it has no path in braces: write {{{path}}}')
    return re.sub(r"\{[^}]*\}", lambda match: _piece(match.group(), document), template)


def _piece(path: str, document: Any) -> str:
    literal = re.fullmatch(r'\{"(.*)"\}', path)
    if literal:
        return str(json.loads(f'"{literal.group(1)}"'))
    return " ".join(text(value) for value in find(path, document))


def text(value: Any) -> str:
    """Return a value as kubectl prints it: texts bare, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _below(value: Any, step: dict[str, str | None]) -> list[Any]:
    name = step["field"] or step["name"]
    if name is not None:
        name = name.replace("\0", ".")
        return [value[name]] if isinstance(value, dict) and name in value else []
    if step["all"]:
        return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    if not isinstance(value, list):
        return []
    if step["index"] is not None:
        index = int(step["index"])
        return [value[index]] if -len(value) <= index < len(value) else []
    return [item for item in value if [text(v) for v in find(f".{step['key']}", item)] == [step["value"]]]
