"""Runtimes: specs, trees on disk, resolution, installing; and the Runtime kind.

Never here: jobs, sandboxes. Nothing outside the runtime root and its cache is written.
"""
