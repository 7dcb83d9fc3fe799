"""What holds for every test: an error that an event loop could only log is a failure."""

import gc
import inspect
import logging
from collections.abc import Iterator

import hypothesis
import pytest

# An example that takes long on a busy machine is no fault.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


class _LoopErrors(logging.Handler):
    """Collects what event loops say when nobody else can be told: asyncio and uvloop both log it to `asyncio`."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        formatter = logging.Formatter("%(message)s")
        self.seen.append(formatter.format(record))


@pytest.fixture(autouse=True)
def loop_errors(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Unhandled errors of event loops fail the test. One that provokes such an error clears the list."""
    handler = _LoopErrors()
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    try:
        yield handler.seen
        if inspect.iscoroutinefunction(getattr(request, "function", None)):
            gc.collect(1)  # a task whose error nobody asked for complains when it is collected
    finally:
        logger.removeHandler(handler)
    assert not handler.seen, f"unhandled in an event loop: {handler.seen}"
