"""Open files: how many this process may have, and whether it has come to that."""

import errno
import os

RAISE = "raise that limit: ulimit -n, or LimitNOFILE= in ringway.service"
TOO_FEW = f"this process has as many files open as it may; {RAISE}"


_ENOUGH = 4  # of a database: the file itself, its log, what its log is shared by, its folder


def are_used_up() -> bool:
    """Whether too few more files can be opened now for whatever was refused one."""
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(_ENOUGH))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    finally:
        for each in opened:
            os.close(each)
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
