"""Making trees: the sandbox that builds run in, recipes, and declarative builds.

Here: a throw-away root for somebody's build script, what of the host it sees, what is carried out of it, its log;
and the sources that are made with it. Never here: staging, checking and activating a version (`install.py`), and the
sandbox of jobs (`controller.sandbox`), of which builds use the parts.
Invariant: whatever a build does, nothing of the host changes but the directories that it was given.
"""
