"""The Lua scripts of this package: each a file in `lua/`, read once, when its module is imported.

A line `-- include: NAME` stands for what is in `_NAME.lua`: what several scripts share stands once.
"""

import hashlib
import pathlib
import re

_FOLDER = pathlib.Path(__file__).parent / "lua"
_INCLUDE = re.compile(r"^-- include: (\w+)$", re.MULTILINE)


class Script:
    """A Lua script. Its first argument is the id of the request, which its reply begins with."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def load(name: str) -> Script:
    """The script in `lua/NAME.lua`, with what it includes. Raises OSError where a file is missing."""
    return Script(_INCLUDE.sub(lambda found: _read(f"_{found[1]}").rstrip("\n"), _read(name)))


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
