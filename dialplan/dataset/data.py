"""A data set before and after a change: what checks look at."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import msgspec

from dialplan.dataset.problems import Fault, Faults, Place, Problem, problem
from dialplan.dataset.reader import RawRow, read_row
from dialplan.kinds.fields import NO_HOME, Home, is_id
from dialplan.kinds.registry import KINDS, Row, RowKind, key_of
from dialplan.wording import Code, quote

_TWICE = Code("row-twice", "{key!q} stands already at {first}", "keep one")
_ANOTHERS_FLOW = Code(
    "flow-of-another-company", "call flow {flow!q} belongs to company {company!q}", "use one of its own"
)
_NOT_THERE = Code("nothing-to-remove", "there is no such {word}", "correct the id, or leave it out")
_PUT_AND_REMOVED = Code("put-and-removed", "it is removed and given at once", "do one of them")


_encoded = msgspec.msgpack.Encoder(order="deterministic").encode


def same(old: Row | None, new: Row | None) -> bool:
    """Whether two rows say the same, in the same types: in Python True is 1, in a parameter it is not."""
    return old == new and (old is new or _encoded(old) == _encoded(new))


class Stored(Protocol):
    """What is stored now, as far as a check has to know it."""

    def get(self, kind: RowKind, key: str) -> Row | None:
        """The row of that kind and key, None where there is none."""
        ...

    def rows(self, kind: RowKind) -> Iterator[Row]:
        """All rows of a kind."""
        ...


class NothingStored:
    """An empty store: what a data set is checked against when it has to stand alone."""

    def get(self, _kind: RowKind, _key: str) -> Row | None:
        """Nothing."""
        return None

    def rows(self, _kind: RowKind) -> Iterator[Row]:
        """None."""
        return iter(())


class ChangeSet(msgspec.Struct):
    """What a commit changes: by kind, each key with its new row, or with None where the row is removed.

    `warnings` are for whoever makes the change; they change nothing. `replaced`: where the rows are all that there is
    afterwards, how many there were of each kind.
    """

    rows: dict[RowKind, dict[str, Row | None]]
    warnings: tuple[Problem, ...] = ()
    replaced: dict[RowKind, int] = {}

    def __len__(self) -> int:
        """How many rows change."""
        return sum(map(len, self.rows.values()))


class Finding(NamedTuple):
    """What a check has found in a row. It refuses the change, or else warns of it."""

    place: Place
    field: str
    fault: Fault
    refuses: bool = True

    def problem(self) -> Problem:
        """The fault in its place."""
        return problem(self.place, self.field, self.fault)


class Data:
    """The rows that are stored, those that are put over them, and those that are removed.

    `replaces`: what is put is all that there is afterwards. `company`: its admin makes the change, None: the platform
    owner. `put` and `removed` are by kind and key; `problems` has what was wrong with rows by themselves.
    """

    def __init__(self, stored: Stored, *, replaces: bool = False, company: str | None = None) -> None:
        self.stored = stored
        self.replaces = replaces
        self.company = company
        self.put: dict[RowKind, dict[str, Row]] = {kind: {} for kind in KINDS}
        self.removed: dict[RowKind, dict[str, None]] = {kind: {} for kind in KINDS}
        self.problems: list[Problem] = []
        self._kept: Stored = NothingStored() if replaces else stored
        self._places: dict[tuple[RowKind, str], Place] = {}
        self._unread: set[tuple[RowKind, str]] = set()  # named by a row that could not be read: not "missing"
        self._unread_homes: dict[str, Home] = {}

    def read(self, raw_rows: Iterable[RawRow]) -> None:
        """Read the rows to be put, companies first, since they tell how to read the numbers of the others."""
        by_kind: dict[RowKind, list[RawRow]] = {kind: [] for kind in KINDS}
        for raw in raw_rows:
            by_kind[raw.kind].append(raw)
        for kind in KINDS:
            for raw in by_kind[kind]:
                self._read(raw)

    def _read(self, raw: RawRow) -> None:
        row = read_row(raw, self._home_of)
        if isinstance(row, list):
            self.problems.extend(row)
            self._remember_unread(raw)
            return
        key = key_of(row)
        if (raw.kind, key) in self._places:
            first = self._places[raw.kind, key]
            self._refuse(raw.place, _TWICE(key=key, first=f"{first.file}: {first.entry}"))
            return
        self.put[raw.kind][key] = row
        self._places[raw.kind, key] = raw.place

    def _remember_unread(self, raw: RawRow) -> None:
        kind = KINDS[raw.kind]
        written = raw.values.get(kind.key)
        company = raw.values.get("company")
        if isinstance(written, str):
            home = (self._home_of(company) if isinstance(company, str) else None) or NO_HOME
            key = kind.read_key(written, home)
            self._unread.add((raw.kind, key))
            if (home_of_others := kind.home_in(raw.values)) is not None:
                self._unread_homes[key] = home_of_others

    def remove(self, removals: Iterable[tuple[RowKind, str]]) -> None:
        """Take away rows, each named by its kind and key as somebody wrote it: a number with its + in front."""
        for kind_name, written in removals:
            kind = KINDS[kind_name]
            key = kind.read_key(written, NO_HOME)
            place = Place("to be removed", f"{kind.word} {quote(written)}")
            if key in self.put[kind_name]:
                self._refuse(place, _PUT_AND_REMOVED())
            elif not kind.is_key(key) or self.stored.get(kind_name, key) is None:
                self._refuse(place, _NOT_THERE(word=kind.word))
            else:
                self.removed[kind_name][key] = None
                self._places[kind_name, key] = place

    def _refuse(self, place: Place, fault: Fault) -> None:
        self.problems.append(problem(place, "", fault))

    def place(self, kind: RowKind, key: str) -> Place:
        """Where a row stands."""
        return self._places.get((kind, key)) or Place("stored", f"{kind} {quote(key)}")

    def untouched(self, kind: RowKind) -> Iterator[tuple[str, Row]]:
        """The stored rows of a kind that stay as they are, by their keys."""
        put, removed = self.put[kind], self.removed[kind]
        for row in self._kept.rows(kind):
            key = key_of(row)
            if key not in put and key not in removed:
                yield key, row

    def kept(self, kind: RowKind, key: str) -> Row | None:
        """The stored row, if what is stored counts."""
        return self._kept.get(kind, key)

    def changes(self) -> ChangeSet:
        """What has to change in the store, and no more than that."""
        rows: dict[RowKind, dict[str, Row | None]] = {}
        replaced: dict[RowKind, int] = {}
        for kind, put in self.put.items():
            old = {key_of(row): row for row in self.stored.rows(kind)} if self.replaces else {}
            changed: dict[str, Row | None] = {
                key: row
                for key, row in put.items()
                if not same(old.get(key) if self.replaces else self.stored.get(kind, key), row)
            }
            changed.update({key: None for key in old if key not in put})
            if self.replaces:
                replaced[kind] = len(old)
            changed.update(self.removed[kind])
            if changed:
                rows[kind] = changed
        return ChangeSet(rows, replaced=replaced)

    # --- the rows as they will be, see dialplan.kinds.kind.Known ---

    def get(self, kind: RowKind, key: str) -> Any:
        """The row as it will be after the change."""
        row = self.put[kind].get(key)
        return self._kept.get(kind, key) if row is None and key not in self.removed[kind] else row

    def find(self, kind: RowKind, key: str, field: str, faults: Faults) -> Any:
        """The row that `field` names; None where it is not there, with the fault unless that has been told already."""
        row = self.get(kind, key)
        if row is None and (kind, key) not in self._unread:
            faults.append((field, KINDS[kind].absent(word=KINDS[kind].word, key=key)))
        return row

    def flow_for(self, company_id: str | None, flow_id: str | None, field: str, faults: Faults) -> Any:
        """The call flow that a row of `company_id` names in `field`: it has to be that company's or the platform's."""
        flow = self.find(RowKind.CALL_FLOW, flow_id, field, faults) if flow_id is not None else None
        if flow is not None and flow.company not in (None, company_id):
            faults.append((field, _ANOTHERS_FLOW(flow=flow_id, company=flow.company)))
            return None
        return flow

    def home(self, company_id: str | None) -> Home:
        """What reads national numbers and local times of rows of that company."""
        return (self._home_of(company_id) if company_id else None) or NO_HOME

    def _home_of(self, company_id: str) -> Home | None:
        if not is_id(company_id):
            return None
        company = self.get(RowKind.COMPANY, company_id)
        return Home(company.region, company.timezone) if company is not None else self._unread_homes.get(company_id)
