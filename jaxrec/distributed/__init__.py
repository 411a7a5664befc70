"""Several processes as one run: joining, agreeing, waiting for each other, and stopping together."""

from jaxrec.distributed.gang import Gang, find_gang
from jaxrec.distributed.placement import place
from jaxrec.distributed.session import (
    TakingPart,
    agree,
    barrier,
    first_ahead,
    first_alone,
    is_first,
    num_processes,
    require_same,
    stop_wanted,
)

__all__ = [
    "Gang",
    "TakingPart",
    "agree",
    "barrier",
    "find_gang",
    "first_ahead",
    "first_alone",
    "is_first",
    "num_processes",
    "place",
    "require_same",
    "stop_wanted",
]
