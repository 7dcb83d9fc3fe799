"""Open files: how many this process may have, and whether it has come to that."""

import errno
import os

TOO_FEW = "too many files are open for its limit; raise that (ulimit -n, or LimitNOFILE= in ringway.service)"


def are_used_up() -> bool:
    """Whether no more file can be opened now."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


def keep_standard() -> None:
    """Have descriptors 0 to 2 open, where whoever started this has closed them.

    The first file that is opened would get their number: libuv aborts where it is to close one of those.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
