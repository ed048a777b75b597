"""Trees on this host: installing, telling apart, sharing, comparing, replacing and removing them.

Never here: which are wanted (`controller/runtime/plan.py`), and where they come from (`sources`, `build`).
"""
