"""A sandbox as data: spec, the pure compiler to operations, and the interpreter of operations.

Standard library only. Isolation never fails open: an operation works or the run does not start.
"""
