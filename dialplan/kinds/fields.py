"""What fields of several kinds have in common."""

import msgspec

ID_MAX_CHARS = 64  # ids stand in variables, metrics and file names

NAME_MAX_CHARS = 100  # S4

CONTEXT_MAX_CHARS = 79  # Asterisk keeps contexts and extensions in 80 bytes (AST_MAX_CONTEXT, AST_MAX_EXTENSION)

PRIORITY_MAX = 10_000


class Destination(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A place in Asterisk's dialplan."""

    context: str
    exten: str = "s"
    priority: int = 1
