"""The two ways a reconcile may fail on purpose.

Anything else that leaves a reconciler is an operating system error (retried) or our bug (said so).
"""


class TransientError(Exception):
    """It did not work now and may later: the worker backs off and tries again."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep `reason`, a CamelCase word for the condition, and `message`, for a person."""
        super().__init__(message)
        self.reason = reason
        self.message = message


class TerminalError(Exception):
    """It cannot work until the spec changes: a False condition and no retry."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep `reason`, a CamelCase word for the condition, and `message`, for a person."""
        super().__init__(message)
        self.reason = reason
        self.message = message
