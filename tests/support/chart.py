"""Renders a Helm chart's templates: the small part of the template language that ours use, and no more.

What it does not know is an error, so that a template cannot quietly go untested.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_WORD = re.compile(r'"[^"]*"|\S+')


class Refused(Exception):
    """The template refuses these values."""


@dataclass
class _Node:
    head: str
    body: list["_Node | str"]


class Chart:
    """A chart's directory; `render` gives the documents that it makes of values."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.values: dict[str, Any] = yaml.safe_load((directory / "values.yaml").read_text())
        chart = yaml.safe_load((directory / "Chart.yaml").read_text())
        self._chart = {"Name": chart["name"], "AppVersion": chart["appVersion"]}
        self._defined: dict[str, list[_Node | str]] = {}
        self.used: set[str] = set()
        self._define((directory / "templates" / "_helpers.tpl").read_text())

    def render(self, **values: Any) -> list[dict[str, Any]]:
        """Return all documents with `values` put over the chart's own."""
        return [
            document
            for path in self.templates()
            for document in yaml.safe_load_all(self.text(path, **values))
            if document
        ]

    def templates(self) -> list[Path]:
        """Return the templates that make documents."""
        return sorted((self.directory / "templates").glob("*.yaml"))

    def text(self, path: Path, **values: Any) -> str:
        """Return what one template renders to."""
        release = {"Name": "test", "Namespace": "apart", "Service": "Helm"}
        scope = {"Values": _merged(self.values, values), "Release": release, "Chart": self._chart}
        return self._run(_parse(path.read_text()), scope)

    def _define(self, text: str) -> None:
        for node in _parse(text):
            if isinstance(node, _Node) and node.head.startswith("define "):
                self._defined[node.head.split('"')[1]] = node.body

    def _run(self, nodes: list["_Node | str"], dot: Any) -> str:
        out = ""
        for node in nodes:
            if isinstance(node, str):
                out += node
            elif node.head.startswith(("if ", "with ")):
                word, _, condition = node.head.partition(" ")
                value = self._value(condition, dot)
                out += self._run(node.body, value if word == "with" else dot) if value else ""
            else:
                value = self._value(node.head, dot)
                out += str(value).lower() if isinstance(value, bool) else str(value)
        return out

    def _value(self, pipeline: str, dot: Any) -> Any:
        value: Any = None
        for number, stage in enumerate(re.split(r"\s\|\s", pipeline)):
            words = _WORD.findall(stage)
            value = self._call(words, dot, [] if number == 0 else [value])
        return value

    def _call(self, words: list[str], dot: Any, piped: list[Any]) -> Any:
        name, arguments = words[0], [self._atom(word, dot) for word in words[1:]] + piped
        match name, arguments:
            case "toYaml", [value]:
                return yaml.safe_dump(value, sort_keys=False).rstrip("\n")
            case "nindent", [count, text]:
                return "\n" + "\n".join(" " * count + line if line else line for line in str(text).splitlines())
            case "include", [template, scope]:
                return self._run(self._defined[template], scope).strip("\n")
            case "quote", [value]:
                return f'"{value}"'
            case "default", [fallback, value]:
                return value or fallback
            case "required", [message, value]:
                if not value:
                    raise Refused(message)
                return value
            case _ if not arguments:
                return self._atom(name, dot)
        raise ValueError(f"this renderer does not know {name}")

    def _atom(self, word: str, dot: Any) -> Any:
        if word.startswith('"'):
            return word[1:-1]
        if word.isdigit():
            return int(word)
        if word == ".":
            return dot
        if not word.startswith("."):
            raise ValueError(f"this renderer does not know {word}")
        path = word[1:].split(".")
        if path[0] == "Values":
            self.used.add(".".join(path[1:]))
        value = dot
        for name in path:
            value = value[name]  # A KeyError is a value that values.yaml does not have.
        return value


def _parse(text: str) -> list["_Node | str"]:
    """Return a template as texts and actions; `-` inside an action eats the white space beside it."""
    stack: list[list[_Node | str]] = [[]]
    at = 0
    for action in re.finditer(r"\{\{(-)?\s*(.*?)\s*(-)?\}\}", text, re.DOTALL):
        before = text[at : action.start()]
        stack[-1].append(before.rstrip() if action[1] else before)
        code = action[2]
        if code == "end":
            stack.pop()
        elif code.startswith(("if ", "with ", "define ")):
            node = _Node(code, [])
            stack[-1].append(node)
            stack.append(node.body)
        else:
            stack[-1].append(_Node(code, []))
        at = action.end() + (len(text[action.end() :]) - len(text[action.end() :].lstrip()) if action[3] else 0)
    stack[-1].append(text[at:])
    if len(stack) != 1:
        raise ValueError("an {{ if }} or {{ with }} has no {{ end }}")
    return stack[0]


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        inner = base.get(name)
        merged[name] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) and inner else value
    return merged
