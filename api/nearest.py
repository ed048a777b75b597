"""What somebody most likely meant by a word that is not known: names of fields, kinds and commands. Pure."""

import difflib
from collections.abc import Iterable

_LIKE_ENOUGH = 0.6
_LONGEST = 60
"""A longer word is no slip of the pen; and to compare takes the time of its length, which a stranger may choose."""


def nearest(word: str, candidates: Iterable[str]) -> str:
    """Return the candidate that `word` most likely meant, or nothing.

    >>> nearest("comand", ["command", "env"]), nearest("Jbo", ["Job", "Pod"]), nearest("xyz", ["command"])
    ('command', 'Job', '')
    """
    if len(word) > _LONGEST:
        return ""
    return next(iter(difflib.get_close_matches(word, list(candidates), n=1, cutoff=_LIKE_ENOUGH)), "")


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return what to add to a message about an unknown word: nothing, if nothing is like it.

    >>> did_you_mean("comand", ["command"]), did_you_mean("xyz", ["command"])
    (': did you mean command?', '')
    """
    near = nearest(word, candidates)
    return f": did you mean {near}?" if near else ""
