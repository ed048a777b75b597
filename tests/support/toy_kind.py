"""A kind that is as simple as a kind can be: a Toy wants a file with some content in it.

Its reconciler is real: it writes and removes real files, and nothing else.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from api.definition import Definition
from api.kinds import Kind
from api.meta import Document, ObjectKey
from api.model import ApiModel, Resource
from api.ports import Storage
from controller.engine.errors import TerminalError, TransientError
from controller.engine.plan import Plan

PATIENCE_SECONDS = 20.0


class ToySpec(ApiModel):
    content: str = ""


class ToyStatus(ApiModel):
    observed_generation: int = 0
    content: str | None = None
    problem: str | None = None


class Toy(Resource):
    kind: str = "Toy"
    spec: ToySpec = Field(default_factory=ToySpec)
    status: ToyStatus = Field(default_factory=ToyStatus)


TOY = Kind("Toy", "toys", ("ty",), True, Definition(Toy), finalizer="runwright.dev/toy")


@dataclass(frozen=True, slots=True)
class WriteFile:
    name: str
    content: str


@dataclass(frozen=True, slots=True)
class RemoveFile:
    name: str


class ToyReconciler:
    """Keeps DIRECTORY/NAME at spec.content; `before_act` is called before each step."""

    def __init__(self, directory: Path, before_act: Callable[[Toy, Any], None] = lambda toy, step: None) -> None:
        self.directory = directory
        self.before_act = before_act
        self.observations = 0
        self.acts: list[Any] = []

    @property
    def kind(self) -> Kind:
        return TOY

    def observe(self, obj: Toy) -> str | None:
        self.observations += 1
        path = self.directory / obj.metadata.name
        return path.read_text() if path.exists() else None

    def plan(self, obj: Toy, observed: str | None) -> Plan:
        name = obj.metadata.name
        if obj.metadata.is_deleting:
            return Plan.nothing() if observed is None else Plan.do(RemoveFile(name))
        if obj.spec.content == "impossible":
            raise TerminalError("Impossible", f"cannot write {name}: no content is like that: change spec.content")
        if observed == obj.spec.content:
            return Plan.nothing()
        return Plan.do(WriteFile(name, obj.spec.content))

    def act(self, obj: Toy, step: Any) -> None:
        self.before_act(obj, step)
        self.acts.append(step)
        path = self.directory / step.name
        if isinstance(step, RemoveFile):
            path.unlink(missing_ok=True)
            return
        aside = path.with_name(f".{step.name}.new")
        aside.write_text(step.content)
        aside.rename(path)

    def report(self, obj: Toy, observed: str | None, plan: Plan) -> ToyStatus:
        return ToyStatus(observed_generation=obj.metadata.generation, content=observed)

    def report_failure(self, obj: Toy, error: TransientError | TerminalError) -> ToyStatus:
        return ToyStatus(
            observed_generation=obj.metadata.generation,
            content=obj.status.content,
            problem=f"{error.reason}: {error.message}",
        )

    def is_gone(self, observed: str | None) -> bool:
        return observed is None


def a_toy(name: str = "ball", content: str = "red", **metadata: Any) -> Document:
    return {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "Toy",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "spec": {"content": content},
    }


def toy_key(name: str = "ball") -> ObjectKey:
    return ObjectKey("Toy", "default", name)


def with_content(document: Document, content: str) -> Document:
    return document | {"spec": {"content": content}}


def until(storage: Storage, condition: Callable[[], bool]) -> None:
    """Return as soon as `condition` holds, looking again after each write to `storage`."""
    written = threading.Event()
    unsubscribe = storage.subscribe(written.set)
    try:
        while not condition():
            if not written.wait(PATIENCE_SECONDS):
                raise AssertionError("nothing was written any more and the condition does not hold")
            written.clear()
    finally:
        unsubscribe()
