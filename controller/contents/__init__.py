"""What users handed in for their jobs to find in /work: contents by their digest, and those that are on their way in.

Here: keeping, receiving, giving to runs, collecting. Never here: HTTP, jobs, what a file is called in a run.
Invariant: who names a digest gets nothing that was not handed in whole in that very namespace.
"""
