"""How making a sandbox fails: at which step, doing what, and why."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.sandbox.ops import Op


class InvalidSpec(ValueError):
    """A sandbox was asked for that cannot be: the request is wrong, whatever the host."""


class SandboxError(Exception):
    """Operation `op`, number `step` of its sandbox, was refused: the run must not start."""

    def __init__(self, step: int, op: "Op", cause: Exception) -> None:
        super().__init__(step, op, cause)
        self.step = step
        self.op = op
        self.cause = cause

    def __str__(self) -> str:
        source, target = getattr(self.op, "source", None), getattr(self.op, "target", None)
        # Of what, and where, is all that its reader knows a mount by; flags and ids are ours.
        op = f"{type(self.op).__name__} of {source} at {target}" if source and target else self.op
        return f"cannot make the sandbox: step {self.step}, {op}: {self.cause}"
