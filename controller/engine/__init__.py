"""The machinery of reconciling, ignorant of kinds: queue, informers, workers, plans, events.

Never here: what any kind means, and any I/O but through the store port it is given.
"""
