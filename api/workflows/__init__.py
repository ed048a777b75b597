"""What order a workflow's jobs have, and Joblet's files of workflows. Pure; no HTTP, no store."""
