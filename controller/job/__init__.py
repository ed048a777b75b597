"""The Job kind: what a job needs next, its runs, their logs and their outcome.

Never here: how a sandbox is built (`controller/sandbox`) or a runtime installed (`controller/runtime`).
"""
