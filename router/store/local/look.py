"""What is kept on this machine for when a shared store is away, looked at without making any of it."""

import errno
import os
import pathlib

from router.store.local import snapshot
from router.store.sqlite.callbacks import beside
from router.store.sqlite.connection import reached
from router.util.own_thread import OwnThread


async def seen_at(path: pathlib.Path) -> float | None:
    """When the snapshot was in step with its store, epoch seconds; None: there is none yet, or nothing in it.

    The attempts that wait beside it are looked at too. Raises StoreError, also where a file that is not there could not
    be made.
    """
    seen = await snapshot.seen_at(path) if await _is_there(path) else None
    waiting = beside(path)
    if await _is_there(waiting.path):
        try:
            await waiting.open(make=False)
        finally:
            await waiting.close()
    return seen


async def _is_there(path: pathlib.Path) -> bool:
    """Whether a file is there; else it could be made. Raises StoreError. The event loop waits for no disk."""
    return await OwnThread("look").run(lambda: _looked_for(path))


def _looked_for(path: pathlib.Path) -> bool:
    with reached(path):
        there = path.exists()
        folder = next(each for each in path.absolute().parents if each.exists())
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        # SQLite keeps two files beside it while it is open.
        if not os.access(folder, os.W_OK | os.X_OK) or (there and not os.access(path, os.R_OK | os.W_OK)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return there
