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
        return f"cannot make the sandbox: step {self.step}, {self.op}: {self.cause}"
