"""JSONPath as kubectl uses it: `{.status.phase}`, `{.items[*].metadata.name}`, `{.c[?(@.type=="Ready")].status}`.

Pure. Here: fields, indexes, `*`, filters that compare one field with a text, and `{range .items[*]}…{end}` in
templates. Nothing else of JSONPath.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

_STEP = re.compile(
    r"""(?P<all>\[\*\]|\.\*) | \.(?P<field>[^.\[\]{}]+) | \[(?P<index>-?[0-9]+)\]
      | \[\?\(\s*@\.(?P<key>[\w.-]+)\s*==\s*(?P<quote>["'])(?P<value>.*?)(?P=quote)\s*\)\]
      | \[(?P<quote2>["'])(?P<name>.*?)(?P=quote2)\]""",
    re.VERBOSE,
)


_PIECE = re.compile(r"(\{[^}]*\})")
_RANGE = re.compile(r"\{\s*range\s+(.*)\}", re.DOTALL)
_END = re.compile(r"\{\s*end\s*\}")


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
    text = text.strip()
    text = text[1:] if text[:1] in ("$", "@") else text
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
    r"""Return `template` with each {path} replaced by its values, separated by spaces.

    >>> expand('{range .items[*]}{.name}: {.size}{"\\n"}{end}', {"items": [{"name": "a", "size": 1}]})
    'a: 1\n'

    Raises:
        BadPath: it cannot be read.
    """
    _, brace, rest = re.sub(r"\{[^}]*\}", "", template).partition("{")
    if brace:
        raise BadPath(f'cannot read "{template}" as a template: a {{ is not closed: write {{{rest}}}')
    if "{" not in template:
        path = template if template.startswith(".") else f".{template or 'status.phase'}"
        raise BadPath(f'cannot read "{template}" as a template: it has no path in braces: write {{{path}}}')
    pieces = [piece for piece in _PIECE.split(template) if piece]
    _check_ranges(template, pieces)
    return _rendered(pieces, 0, document)[0]


def _check_ranges(template: str, pieces: Sequence[str]) -> None:
    open_ranges = 0
    for piece in pieces:
        open_ranges += 1 if _RANGE.fullmatch(piece) else -1 if _END.fullmatch(piece) else 0
        if open_ranges < 0:
            raise BadPath(f'cannot read "{template}" as a template: an {{end}} has no {{range PATH}} before it')
    if open_ranges:
        raise BadPath(f'cannot read "{template}" as a template: a {{range PATH}} is not closed: write {{end}}')


def _rendered(pieces: Sequence[str], at: int, document: Any) -> tuple[str, int]:
    """Return what the pieces from `at` on give, up to the {end} of their range, and where that is."""
    found = []
    while at < len(pieces) and not _END.fullmatch(pieces[at]):
        ranged = _RANGE.fullmatch(pieces[at])
        if ranged is None:
            found.append(_piece(pieces[at], document))
        else:
            _, end = _rendered(pieces, at + 1, None)  # Read also where there is nothing to show by it.
            found += [_rendered(pieces, at + 1, item)[0] for item in find(ranged[1], document)]
            at = end
        at += 1
    return "".join(found), at


def _piece(path: str, document: Any) -> str:
    if not path.startswith("{"):
        return path
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
