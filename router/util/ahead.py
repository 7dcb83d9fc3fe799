"""Things that come from elsewhere, the next one on its way while one is used."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

Thing = TypeVar("Thing")


async def ahead(source: AsyncGenerator[Thing, None]) -> AsyncIterator[Thing]:
    """The same things in the same order, and what `source` raises; it is closed with this."""
    coming = asyncio.ensure_future(anext(source, None))
    try:
        while (thing := await coming) is not None:
            coming = asyncio.ensure_future(anext(source, None))
            yield thing
    finally:
        coming.cancel()
        await asyncio.wait([coming])
        if not coming.cancelled():
            coming.exception()
        await source.aclose()
