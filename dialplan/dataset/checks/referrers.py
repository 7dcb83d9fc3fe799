"""A row that others still name is not removed."""

from collections.abc import Iterator

from dialplan.dataset.data import Data, Finding
from dialplan.kinds.registry import KINDS, RowKind
from dialplan.wording import Code

_NAMED_MAX = 3  # in one message
_STILL_NAMED = Code("still-named", "{referrers} still name it", "take it out there, or remove them too")
_STILL_NAMED_BY_MORE = Code(
    "still-named-by-more", "{referrers} and {more} more still name it", "take it out there, or remove them too"
)


def check(data: Data) -> Iterator[Finding]:
    """Look through the rows that stay; a new row that names a removed one has been told of by `references`."""
    removed = {(kind, key) for kind, keys in data.removed.items() for key in keys}
    kinds = {kind for kind, _ in removed}
    if not removed:
        return
    referrers: dict[tuple[RowKind, str], list[str]] = {each: [] for each in removed}
    more: dict[tuple[RowKind, str], int] = dict.fromkeys(removed, 0)
    for name, kind in KINDS.items():
        if not kind.refers_to & kinds:
            continue
        for key, row in data.untouched(name, removed):
            for target in {(each.kind, each.key) for each in kind.references(row)} & removed:
                if len(referrers[target]) < _NAMED_MAX:
                    referrers[target].append(f"{kind.word} {key}")
                else:
                    more[target] += 1
    for target in (each for each in removed if referrers[each]):
        listed = ", ".join(referrers[target])
        fault = (
            _STILL_NAMED_BY_MORE(referrers=listed, more=more[target])
            if more[target]
            else _STILL_NAMED(referrers=listed)
        )
        yield Finding(data.place(*target), "", fault)
