"""When two names are so alike that some file system, or some reader, takes them for one.

Pure. Most file systems of Linux tell them apart; others, to which a tree may be copied, do not.
"""

import unicodedata


def folded(path: str) -> str:
    r"""Return what `path` has in common with every path that differs in case or in Unicode's normal forms only.

    >>> folded("Lib/R\u00e9sum\u00e9") == folded("lib/re\u0301sume\u0301")
    True
    """
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
