"""What may be done to objects, whatever the way in: admission, apply, patches, selectors, verbs.

The HTTP API, the watched directory and the inbox all write through `verbs.py`, so that three
ways in have one meaning. Here: pure functions over JSON documents, and the verbs over a store port.
Never here: HTTP, asyncio, SQL, the kernel.
"""
