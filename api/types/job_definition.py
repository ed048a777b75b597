"""What a Job is to the API: its type, its columns, and what of it may change."""

from api.definition import Column, Definition, field
from api.meta import Document
from api.types import job, job_many, job_network
from api.types.job import Job
from api.types.job_spec import command_line


def _exit_code(document: Document) -> str:
    runs = document.get("status", {}).get("runs") or [{}]
    return str(runs[-1].get("exitCode", ""))


def _command(document: Document) -> str:
    return command_line(document.get("spec", {}))


DEFINITION = Definition(
    type=Job,
    conditions=job.CONDITIONS,
    columns=(
        Column("Phase", field("status.phase"), description="A summary of the job's conditions."),
        Column("Reason", field("status.reason"), description="Why it is in this phase."),
        Column("Completions", job_many.completions, description="Runs that succeeded, and how many have to."),
        Column("Runs", field("status.attempts"), description="Runs begun so far."),
        Column("Exit", _exit_code, description="The exit code of the last run."),
        Column("Runtime", field("spec.runtime"), description="The runtime asked for."),
        Column("Priority", field("status.priority"), wide=True, description="Its priority in the queue."),
        Column("Message", field("status.message"), wide=True, description="What it waits for, or what happened."),
        Column("Resolved", field("status.resolvedRuntime"), wide=True, description="The runtime version in use."),
        Column("Starts-At", field("spec.startAt"), wide=True, description="When it may start at the earliest."),
        Column("Address", job_network.address_of, wide=True, description="The address of the last run in its network."),
        Column("Ports", job_network.ports_of, wide=True, description="The host's ports that lead to the last run's."),
        Column("Command", _command, wide=True, description="What is run."),
    ),
    problems_with_change=job_many.problems_with_change,
)
