"""Long work in turns with calls."""

import asyncio

from dialplan.shards import Result, Steps


async def in_turns(steps: Steps[Result]) -> Result:
    """Take steps, calls having their turns in between: nothing that grows with the data holds them up."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # it is the generator's
        await asyncio.sleep(0)
