"""The small process that starts runs and outlives the controller, and each run's supervisor.

Standard library only: it stays small in memory and starts at once. Here: the fork server, its
protocol and client, the supervisor, the records a run leaves. Never here: objects, the store.
"""
