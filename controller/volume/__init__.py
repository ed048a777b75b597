"""Volumes: what jobs keep beyond a run; made, mounted while used, grown, copied and removed; and snapshots of them.

Never here: which run uses which volume, and how a run sees it; that is the Job kind's.
"""
