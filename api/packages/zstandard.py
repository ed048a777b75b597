"""zstd, as Python's own library has it from 3.14 on, and its backport before: the one place that knows which.

Named apart from both, and from the package of that name, which is not used.
"""

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["zstd"]
