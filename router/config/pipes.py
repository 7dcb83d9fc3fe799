"""A text that may come out of a pipe, whose writer may never come, or never end."""

import os
import pathlib
import select
import time

_AT_ONCE = 64 * 1024


def text_of(path: pathlib.Path, max_bytes: int, seconds: float) -> str:
    """What stands in a file, or comes out of a pipe within so many seconds.

    Raises OSError, or ValueError with the why.
    """
    end = time.monotonic() + seconds
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer would never open
    try:
        data = bytearray()
        while _has_more(descriptor, end):
            piece = os.read(descriptor, _AT_ONCE)
            if not piece:
                return data.decode("utf-8-sig")
            data += piece
            if len(data) > max_bytes:
                raise ValueError(f"it has more than {max_bytes} bytes")
    finally:
        os.close(descriptor)
    raise ValueError(f"it is a pipe whose writer has not come, or not ended, within {seconds:g} s")


def _has_more(descriptor: int, end: float) -> bool:
    """Wait for something to read, or the end of it, until then."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(max(0.0, end - time.monotonic()) * 1000))
