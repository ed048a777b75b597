"""The ResourceQuota kind: what the jobs and objects of a namespace use together, and what they may.

Here: counting, refusing, the status. Never here: what a job counts for, which it is told by a function.
"""
