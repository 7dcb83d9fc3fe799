"""What rows name has to be there, and to fit: in every new row, and in every stored one to which it matters."""

from collections.abc import Iterator

from dialplan.dataset.data import Data, Finding, same
from dialplan.dataset.problems import Faults
from dialplan.kinds.kind import Kind
from dialplan.kinds.registry import KINDS, Row, RowKind, key_of


def check(data: Data) -> Iterator[Finding]:
    """Check them, and put them into the form in which they are stored."""
    for name, kind in KINDS.items():
        rows = [*data.put[name].values(), *_touched(data, kind)]
        for row in data.follow(f"checking what {kind.plural} refer to", rows, len(rows)):
            faults: Faults = []
            fitted = kind.fitted(row, data, faults)
            key = key_of(row)
            if faults:
                place = data.place(name, key)
                yield from (Finding(place, data.field(name, key, field), fault) for field, fault in faults)
            if not same(fitted, row):
                data.put[name][key] = fitted
        for part in data.parts[name]:
            faults = []
            kind.fitted(part.row, data, faults)
            for field, fault in kind.by_themselves(faults, part.bad):
                yield Finding(part.raw.place, data.field_in_file(part.raw, field), fault)


def _touched(data: Data, kind: Kind[Row]) -> Iterator[Row]:
    """Stored rows that stay as they are, but lean on something that changes in a way that matters to them."""
    # All but the numerous ones are few: to ask a store for each of a million new rows would take longer than to look.
    changed: set[tuple[RowKind, str]] = {
        (other, key)
        for other in kind.leans_on
        for key, row in data.put[other].items()
        if KINDS[other].numerous
        or ((before := data.kept(other, key)) is not None and KINDS[other].matters(before, row))
    }
    if not changed:
        return
    for _, row in data.untouched(kind.name, changed):
        if any((each.kind, each.key) in changed for each in kind.references(row)):
            yield row
