"""How large what is sent may be, the same whichever way it comes: HTTP, rnx, a watched file, the inbox. Data.

What is beyond a cap is refused before it costs memory. What one object may have once it is read, and what one
request may have over HTTP, are Kubernetes' limits and are said in `objects/admission.py` and `http/requests.py`.
"""

MOST_TEXT_BYTES = 4 << 20
"""Of one text that may hold many objects: a manifest file, a row of the inbox, a file given to rnx."""

MOST_VALUES = 100_000
"""In one text, keys among them; those behind an alias count each time."""

MOST_DEPTH = 64
"""Levels of mappings and lists, one inside the other."""
