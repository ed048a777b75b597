"""cgroups, version 1 and 2: limits to file writes (pure), and one lifecycle for both.

Standard library only. Never here: policy, and any cgroup that runwright did not make.
"""
