"""What is told of a refused connection, in the status of a Network and of a Job."""

from pydantic import Field

from api.model import ApiModel


class Refusal(ApiModel):
    """A connection that was refused, once or several times."""

    source: str = Field(description="The address that it came from.")
    source_job: str = Field(default="", description="The job whose that address was.")
    destination: str = Field(description="The address that it was for.")
    destination_job: str = Field(default="", description="The job whose that address was.")
    protocol: str = Field(description="tcp, udp, icmp, icmpv6, or a number.")
    port: int = Field(default=0, description="The port that it was for; 0 where there are none.")
    count: int = Field(default=1, description="How many packets of it were seen to be refused.")
    last_time: str = Field(description="When the last of them was, RFC 3339.")
