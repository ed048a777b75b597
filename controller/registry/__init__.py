"""Registries: the catalogue format, its cache, the fetch; and the Registry kind.

Never here: installing, which is the Runtime kind, and jobs.
"""
