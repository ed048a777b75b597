"""The Workflow kind: makes a Job of each of a workflow's jobs, once, when what it requires holds."""
