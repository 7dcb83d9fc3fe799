"""What a refusal looks like, whichever command refuses."""

from tests.processes import Finished


def refused(done: Finished, *parts: str) -> str:
    """The one line of a refusal."""
    assert (done.status, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert line.startswith("ringway: ")
    for part in parts:
        assert part in line
    return line
