"""Paths as a configuration has them: taken as they stand, so what a shell would make something else of is refused."""

import os.path
import re

_VARIABLE = re.compile(r"\$[\w{(]")


def path_fault(path: str) -> str:
    """Why a text is no path of a file; "" where it may be one. The file system is not asked."""
    if not path.isprintable():  # a NUL byte ends a path, and a line break an error's one line
        return "has characters that are not printable"
    if path != path.strip():
        return "begins or ends with a blank"
    if os.path.basename(os.path.normpath(path)) in ("", ".", "..") or path.endswith(("/", "/.", "/..")):  # noqa: PTH119
        return "names no file"
    if path.startswith(("~", "/~")) or _VARIABLE.search(path):
        return "begins with ~ or has a variable, which only a shell knows"
    return ""
