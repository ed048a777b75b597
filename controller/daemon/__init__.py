"""The daemon as a whole: its settings and paths, the host it is on, and how all parts are put together.

Here: what only the whole process has: one lock, one health, one set of metrics, one composition root, and what
stands between kinds that do not know each other. Never here: what a part does. Nothing below imports this package:
what a part needs of the settings it is given.
"""
