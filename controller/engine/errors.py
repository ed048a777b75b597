"""The two ways a reconcile may fail on purpose, and the one in which a step that was begun turns out to have to wait.

What is known to have to wait before anything is done is a plan (`Plan.wait`), not an exception. Anything else that
leaves a reconciler is an operating system error (retried) or our bug (said so).
"""


class TransientError(Exception):
    """It did not work now and may later: the worker backs off and tries again."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep `reason`, a CamelCase word for the condition, and `message`, for a person."""
        super().__init__(message)
        self.reason = reason
        self.message = message


class Postponed(TransientError):
    """It has to wait for something that the message names: no failure, and told once however often it is looked at."""

    def __init__(self, reason: str, message: str, check_again_seconds: float) -> None:
        """Look again after so long, if nobody wakes us before."""
        super().__init__(reason, message)
        self.check_again_seconds = check_again_seconds


class TerminalError(Exception):
    """It cannot work until the spec changes: a False condition and no retry."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep `reason`, a CamelCase word for the condition, and `message`, for a person."""
        super().__init__(message)
        self.reason = reason
        self.message = message
