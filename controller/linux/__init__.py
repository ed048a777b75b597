"""The kernel in Python: one wrapper a system call, and parsers of /proc; no policy.

Standard library only; `libc.py` alone uses ctypes. Parsers take text, not paths.
"""
