"""A data set before and after a change: what checks look at."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple, Protocol

import msgspec

from dialplan.dataset.dumped import UNKNOWN, TakenBack, taken_back
from dialplan.dataset.follow import Follow, unseen
from dialplan.dataset.later import (
    AnyKind,
    Fields,
    Held,
    LaterRow,
    held_key,
    is_unread,
    over,
    readable,
    same_later,
)
from dialplan.dataset.problems import Fault, Faults, Place, Problem, problem
from dialplan.dataset.reader import AnyRawRow, RawOtherRow, RawRow, read_row
from dialplan.kinds.fields import NO_HOME, UNREAD_HOME, Home, is_id
from dialplan.kinds.registry import KINDS, Row, RowKind, key_of
from dialplan.wording import Code, quote

_TWICE = Code("row-twice", "{key!q} stands already at {first}", "keep one")
_ANOTHERS_FLOW = Code(
    "flow-of-another-company",
    "call flow {flow!q} belongs to company {company!q}",
    "use one of its own or of the platform's",
)
_POOL_WITH_COMPANYS_FLOW = Code(
    "flow-of-company-with-pool", "call flow {flow!q} belongs to company {company!q}", "use a call flow of the platform"
)
_NOT_THERE = Code("nothing-to-remove", "there is no such {word}", "correct the id, or leave it out")
_NO_ADMIN = Code("admin-of-nobody", "there is no such company", "correct the id")
_PUT_AND_REMOVED = Code("put-and-removed", "it is removed and given at once", "do one of them")


_encoded = msgspec.msgpack.Encoder(order="deterministic").encode


def same(old: Held | None, new: Held | None) -> bool:
    """Whether two rows say the same, in the same types: in Python True is 1, in a parameter it is not."""
    if old is new:
        return True
    if old == new:
        return _encoded(old) == _encoded(new)
    return (isinstance(old, LaterRow) or isinstance(new, LaterRow)) and same_later(old, new)


class Stored(Protocol):
    """What is stored now, as far as a check has to know it."""

    def get(self, kind: RowKind, key: str) -> Held | None:
        """The row of that kind and key, None where there is none."""
        ...

    def rows(self, kind: RowKind, naming: AbstractSet[str] = frozenset()) -> Iterator[Held]:
        """All rows of a kind; with `naming` those may be left out that name none of these keys."""
        ...

    def of_other_kinds(self) -> Iterator[LaterRow]:
        """All rows whose kind is not known."""
        ...


class NothingStored:
    """An empty store: what a data set is checked against when it has to stand alone."""

    def get(self, _kind: RowKind, _key: str) -> Held | None:
        """Nothing."""
        return None

    def rows(self, _kind: RowKind, _naming: AbstractSet[str] = frozenset()) -> Iterator[Held]:
        """None."""
        return iter(())

    def of_other_kinds(self) -> Iterator[LaterRow]:
        """None."""
        return iter(())


class Lost(NamedTuple):
    """What a replacement takes from a row that is not known whole: the row, or some of its fields."""

    kind: AnyKind
    key: str
    fields: tuple[str, ...]  # none: the row


class ChangeSet(msgspec.Struct):
    """What a commit changes: by kind, each key with its new row, or with None where the row is removed.

    `warnings` are for whoever makes the change; they change nothing. `replaced`: where the rows are all that there is
    afterwards, how many there were of each kind; `lost`: what goes then of rows that are not known whole.
    """

    rows: Mapping[AnyKind, Mapping[str, Held | None]]
    warnings: tuple[Problem, ...] = ()
    replaced: Mapping[AnyKind, int] = {}
    lost: tuple[Lost, ...] = ()

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


class PartRow(NamedTuple):
    """A row as far as it could be read, without its fields `bad`."""

    raw: RawRow
    row: Row
    bad: frozenset[str]


class Data:
    """The rows that are stored, those that are put over them, and those that are removed.

    `replaces`: what is put is all that there is afterwards. `company`: its admin makes the change, None: the platform
    owner. `put` and `removed` are by kind and key, `unread` are rows to be put of which nothing can be read; `problems`
    has what was wrong with rows by themselves, `parts` what could be read of those all the same. `file_unread`: a whole
    file could not be read, and what seems to be missing may stand there. `more`: a part was not checked, so that there
    may be more problems than are told. `follow` sees the long passes.
    """

    def __init__(
        self,
        stored: Stored,
        *,
        replaces: bool = False,
        company: str | None = None,
        file_unread: bool = False,
        follow: Follow = unseen,
    ) -> None:
        self.follow = follow
        self.file_unread = file_unread
        self.more = False
        self.parts: dict[RowKind, list[PartRow]] = {kind: [] for kind in KINDS}
        self.stored = stored
        self.replaces = replaces
        self.company = company
        self.put: dict[RowKind, dict[str, Row]] = {kind: {} for kind in KINDS}
        self.removed: dict[RowKind, dict[str, None]] = {kind: {} for kind in KINDS}
        self.problems: list[Problem] = []
        self.unread: dict[AnyKind, dict[str, LaterRow]] = {}
        self._unknown: dict[tuple[RowKind, str], Fields] = {}  # what files say of it, which counts then
        self._kept: Stored = NothingStored() if replaces else stored
        self._raw: dict[tuple[AnyKind, str], AnyRawRow] = {}
        self._removals: dict[tuple[AnyKind, str], Place] = {}
        self._unread: set[tuple[RowKind, str]] = set()  # named by a row that could not be read: not "missing"
        self._unread_homes: dict[str, Home] = {}

    def read(self, raw_rows: Iterable[AnyRawRow]) -> None:
        """Read the rows to be put, companies first, since they tell how to read the numbers of the others."""
        by_kind: dict[RowKind, list[RawRow]] = {kind: [] for kind in KINDS}
        for raw in raw_rows:
            if isinstance(raw, RawOtherRow):
                self._take_back(raw)
            else:
                by_kind[raw.kind].append(raw)
        for kind in KINDS:
            raws = by_kind[kind]
            for raw in self.follow(f"checking {KINDS[kind].plural}", raws, len(raws)):
                self._read(raw)

    def _read(self, raw: RawRow) -> None:
        unknown = None
        if UNKNOWN in raw.values:
            taken = self._take_back(raw)
            if taken is None:
                return
            raw, unknown = RawRow(raw.kind, raw.place, taken.values), taken.unknown
        reading = read_row(raw, self._home_of)
        if reading.bad or reading.row is None:
            self.problems.extend(reading.problems(raw.place))
            # Of a list with something wrong in it the rest may not have been looked at.
            self.more |= not reading.faults or any("[" in field for field, _ in reading.faults)
            self._remember_unread(raw)
            if reading.row is not None:
                row = KINDS[raw.kind].without(reading.row, reading.bad)
                self.parts[raw.kind].append(PartRow(raw, row, reading.bad))
            return
        row = reading.row
        key = key_of(row)
        if self._is_first(raw, key):
            self.put[raw.kind][key] = row
            if unknown is not None:
                self._unknown[raw.kind, key] = unknown

    def _is_first(self, raw: AnyRawRow, key: str) -> bool:
        first = self._raw.setdefault((raw.kind, key), raw)
        if first is not raw:
            self._refuse(raw.place, _TWICE(key=key, first=f"{first.place.file}: {first.place.entry}"))
        return first is raw

    def _take_back(self, raw: AnyRawRow) -> TakenBack | None:
        """What a dump has of a row that is not known whole; one of which nothing can be read is put as it is."""
        taken = taken_back(raw.kind, raw.values)
        if isinstance(taken, TakenBack):
            return taken
        if isinstance(taken, Fault):
            self.problems.append(problem(raw.place, UNKNOWN, taken))
            if isinstance(raw, RawRow):
                self._remember_unread(raw)
        elif self._is_first(raw, taken.key):
            self.unread.setdefault(raw.kind, {})[taken.key] = taken
        return None

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

    def check_admin(self) -> None:
        """The company whose admin makes the change has to be there: told ahead of all that its admin may not do."""
        company = self.company
        if company is None or (is_id(company) and self.stored.get(RowKind.COMPANY, company) is not None):
            return
        if company not in self.put[RowKind.COMPANY] and (RowKind.COMPANY, company) not in self._unread:
            place = Place("on behalf of", f"company {quote(company)}")
            self.problems.insert(0, problem(place, "", _NO_ADMIN()))

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
                self._removals[kind_name, key] = place

    def _refuse(self, place: Place, fault: Fault) -> None:
        self.problems.append(problem(place, "", fault))

    def place(self, kind: AnyKind, key: str) -> Place:
        """Where a row stands."""
        if (raw := self._raw.get((kind, key))) is not None:
            return raw.place
        return self._removals.get((kind, key)) or Place("stored", f"{kind} {quote(key)}")

    def field(self, kind: RowKind, key: str, field: str) -> str:
        """Where a field of a row stands in the file that the row is from."""
        raw = self._raw.get((kind, key))
        return self.field_in_file(raw, field) if isinstance(raw, RawRow) else field

    def field_in_file(self, raw: RawRow, field: str) -> str:
        """Where a field of the row that was made of `raw` stands in it."""
        return KINDS[raw.kind].field_in_file(field, raw.values, self.home(raw.values.get("company")))

    def untouched(self, kind: RowKind, naming: AbstractSet[tuple[RowKind, str]]) -> Iterator[tuple[str, Row]]:
        """The stored rows of a kind that name one of these and stay as they are, by their keys; others may be there."""
        put, removed, unread = self.put[kind], self.removed[kind], self.unread.get(kind, {})
        for held in self._kept.rows(kind, {key for _, key in naming}):
            row = readable(held)
            key = held_key(held)
            if row is not None and key not in put and key not in removed and key not in unread:
                yield key, row

    def kept(self, kind: RowKind, key: str) -> Row | None:
        """What can be read of the stored row, if what is stored counts."""
        return readable(self._kept.get(kind, key))

    def changes(self) -> ChangeSet:
        """What has to change in the store, and no more than that."""
        rows: dict[AnyKind, dict[str, Held | None]] = {}
        replaced: dict[AnyKind, int] = {}
        lost: list[Lost] = []
        stored: Mapping[str, Held] | None
        others = self._other_kinds()
        kinds: list[AnyKind] = [*KINDS, *others]
        for kind in kinds:
            if isinstance(kind, int):
                stored, changed = others[kind], dict[str, Held | None]()
            else:
                stored = {held_key(row): row for row in self.stored.rows(kind)} if self.replaces else None
                changed = self._changed(kind, stored)
            for key, row in self.unread.get(kind, {}).items():
                if not same(self._held(kind, key, stored), row):
                    changed[key] = row
            if self.replaces and stored is not None:
                changed.update({key: None for key in stored if not self._is_put(kind, key)})
                replaced[kind] = len(stored)
                lost += _lost(kind, stored, changed)
            if changed:
                rows[kind] = changed
        return ChangeSet(rows, replaced=replaced, lost=tuple(lost))

    def _changed(self, kind: RowKind, stored: Mapping[str, Held] | None) -> dict[str, Held | None]:
        """The rows that are put and are not stored so, and those that are removed."""
        changed: dict[str, Held | None] = {}
        for key, row in self.put[kind].items():
            held = self.stored.get(kind, key) if stored is None else stored.get(key)
            new: Held = row
            if isinstance(held, LaterRow) or self._unknown:
                new = over(None if self.replaces else held, row, self._unknown.get((kind, key)))
            if not same(held, new):
                changed[key] = new
        return changed | self.removed[kind]

    def _held(self, kind: AnyKind, key: str, stored: Mapping[str, Held] | None) -> Held | None:
        """A stored row; `stored`: those of its kind, where all of them are known."""
        if stored is not None:
            return stored.get(key)
        return None if isinstance(kind, int) else self.stored.get(kind, key)

    def _is_put(self, kind: AnyKind, key: str) -> bool:
        return key in self.unread.get(kind, ()) or (not isinstance(kind, int) and key in self.put[kind])

    def _other_kinds(self) -> dict[int, dict[str, Held]]:
        """The stored rows whose kind is not known, where some are put or all are replaced."""
        found: dict[int, dict[str, Held]] = {kind: {} for kind in self.unread if isinstance(kind, int)}
        if found or self.replaces:
            for row in self.stored.of_other_kinds():
                found.setdefault(row.code, {})[row.key] = row
        return found

    # --- the rows as they will be, see dialplan.kinds.kind.Known ---

    def get(self, kind: RowKind, key: str) -> Any:
        """The row as it will be after the change."""
        row = self.put[kind].get(key)
        if row is not None or key in self.removed[kind] or key in self.unread.get(kind, ()):
            return row
        return readable(self._kept.get(kind, key))

    def _is_unread(self, kind: RowKind, key: str) -> bool:
        """Whether there will be such a row of which nothing can be read: what names it is not checked any further."""
        if key in self.unread.get(kind, ()):
            return True
        return key not in self.put[kind] and key not in self.removed[kind] and is_unread(self._kept.get(kind, key))

    def find(self, kind: RowKind, key: str, field: str, faults: Faults) -> Any:
        """The row that `field` names; None where it is not there, with the fault unless that has been told already."""
        row = self.get(kind, key)
        if row is None and not self._is_unread(kind, key):
            if self.file_unread or (kind, key) in self._unread:
                self.more |= kind is not RowKind.COMPANY  # the company is not looked at
            else:
                faults.append((field, KINDS[kind].absent(key)))
        return row

    def flow_for(self, company_id: str | None, flow_id: str | None, field: str, faults: Faults) -> Any:
        """The call flow that a row of `company_id` names in `field`: it has to be that company's or the platform's."""
        flow = self.find(RowKind.CALL_FLOW, flow_id, field, faults) if flow_id is not None else None
        if flow is not None and flow.company not in (None, company_id):
            code = _ANOTHERS_FLOW if company_id is not None else _POOL_WITH_COMPANYS_FLOW
            faults.append((field, code(flow=flow_id, company=flow.company)))
            return None
        return flow

    def home(self, company_id: str | None) -> Home:
        """What reads national numbers and local times of rows of that company."""
        return (self._home_of(company_id) if company_id else None) or NO_HOME

    def _home_of(self, company_id: str) -> Home | None:
        if not is_id(company_id):
            return None
        company = self.get(RowKind.COMPANY, company_id)
        if company is not None:
            return Home(company.region, company.timezone)
        later = self.unread.get(RowKind.COMPANY, {}).get(company_id) or self._kept.get(RowKind.COMPANY, company_id)
        if isinstance(later, LaterRow):
            return _home_in(later)
        unread = self.file_unread or (RowKind.COMPANY, company_id) in self._unread
        return self._unread_homes.get(company_id, UNREAD_HOME) if unread else None


def _home_in(company: LaterRow) -> Home | None:
    """What a company of which nothing else can be read tells; in a zone that is not known here no time is read."""
    fields = company.fields()
    home = KINDS[RowKind.COMPANY].home_in(fields)
    if home is None or home.timezone == fields.get("timezone", home.timezone):
        return home
    return Home(home.region, "")


def _lost(kind: AnyKind, old: Mapping[str, Held], changed: Mapping[str, Held | None]) -> Iterator[Lost]:
    """What a replacement takes away of rows that are not known whole."""
    for key, held in old.items():
        if isinstance(held, LaterRow) and key in changed:
            new = changed[key]
            if new is None or (held.row is None and not is_unread(new)):
                yield Lost(kind, key, ())
            elif gone := held.names() - (new.names() if isinstance(new, LaterRow) else set()):
                yield Lost(kind, key, tuple(sorted(gone)))
