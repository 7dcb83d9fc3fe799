"""What a kind of rows is. Its module says all of it, and the registry lists the kinds."""

import functools
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from dialplan.dataset.convert import bad_fields, converted, partly
from dialplan.dataset.problems import Fault, Faults
from dialplan.kinds.fields import Home, check_id, editable_by_company, is_id
from dialplan.wording import Code

S = TypeVar("S", bound=msgspec.Struct)

ASK_OWNER = "ask the platform owner"

_ABSENT = Code("unknown-{word}", "there is no {word} {key!q}", "add it or correct the {named_by}")


class RowKind(StrEnum):
    """The names of the kinds, as the data files name their sections, in the order in which they refer back."""

    COMPANY = "companies"
    CALL_FLOW = "call_flows"
    CAMPAIGN = "campaigns"
    NUMBER = "numbers"


class Reference(NamedTuple):
    """One row names another one, in `field`."""

    field: str
    kind: RowKind
    key: str


class Known(Protocol):
    """The rows as they will be after a change, as far as a check has to know them."""

    def find(self, kind: RowKind, key: str, field: str, faults: Faults) -> Any:
        """The row that `field` names; None where it is not there, with the fault unless that has been told already."""
        ...

    def flow_for(self, company_id: str | None, flow_id: str | None, field: str, faults: Faults) -> Any:
        """The call flow that a row of `company_id` names in `field`: it has to be that company's or the platform's."""
        ...

    def home(self, company_id: str | None) -> Home:
        """What reads national numbers and local times of rows of that company."""
        ...


class Kind(Generic[S]):
    """All there is to say of a kind of rows; `name` and the other words are its own.

    `code` is its number in stores: never renumber. `key` is the field that names a row. `refers_to`: the kinds that its
    rows may name; `leans_on`: those among them whose content matters to its rows, so that they are checked again after
    a change that `matters`. `numerous`: there may be millions. `added_by_company`: its admins add and remove rows.
    `blanks`: what a required field counts as that could not be read, while the others are checked. `follows`: for a
    field, the others that its faults may come from.
    """

    name: RowKind
    word: str
    code: int
    struct: type[S]
    key = "id"
    refers_to: frozenset[RowKind] = frozenset()
    leans_on: frozenset[RowKind] = frozenset()
    numerous = False
    added_by_company = True
    in_csv = False
    blanks: ClassVar[Mapping[str, Any]] = {}
    follows: ClassVar[Mapping[str, frozenset[str]]] = {}

    def __init__(self) -> None:
        self.editable = editable_by_company(self.struct)
        self._absent = msgspec.structs.replace(_ABSENT, slug=f"unknown-{self.word.replace(' ', '-')}")
        self.plural = str(self.name).replace("_", " ")

    def absent(self, key: str) -> Fault:
        """There is no row with that key."""
        return self._absent(word=self.word, key=key, named_by=self.key)

    def key_of(self, row: S) -> str:
        """What names a row within its kind."""
        key: str = getattr(row, self.key)
        return key

    def read_key(self, text: str, home: Home) -> str:
        """The key that somebody wrote, as rows have it; what cannot be read comes back as it is."""
        del home
        return text

    def is_key(self, text: str) -> bool:
        """Whether a row may be named so. What is none is never asked of a store, which may not even take such text."""
        return is_id(text)

    def home_in(self, values: Mapping[str, Any]) -> Home | None:
        """What a row that could not be read tells all the same of how others are to be read."""
        del values
        return None

    def owner(self, row: S) -> str | None:
        """The company that a row belongs to; None: the platform."""
        company: str | None = getattr(row, "company", None)
        return company

    def read(self, values: Mapping[str, Any], home: Home, faults: Faults) -> S | None:
        """A row out of plain values: types, alphabets, lengths, numbers and times. What is wrong goes to `faults`.

        Where there are some it is the row as far as it could be read, if at all.
        """
        row = converted(values, self.struct, faults)
        if row is not None:
            return self.checked(row, home, faults)
        bad = bad_fields(faults)
        row = partly(values, self.struct, bad, self.blanks)
        if row is None:
            return None
        more: Faults = []
        row = self.checked(row, home, more)
        faults.extend(self.by_themselves(more, bad))
        return row

    def by_themselves(self, faults: Faults, bad: frozenset[str]) -> Faults:
        """Those of the faults that do not come of the fields `bad`, which have been told already."""
        told = bad | {field for field, others in self.follows.items() if others & bad}
        return [each for each in faults if not bad_fields([each]) & told]

    def without(self, row: S, bad: frozenset[str]) -> S:
        """The row with its fields `bad` left out: others are checked by it."""
        plain = {name: getattr(row, name) for name in row.__struct_fields__ if name not in bad}
        blanks = {name: value for name, value in msgspec.structs.asdict(self._blank).items() if name in bad}
        return self.struct(**plain, **blanks)

    @functools.cached_property
    def _blank(self) -> S:
        return msgspec.convert(self.blanks, self.struct)

    def loadable(self, row: S) -> S:
        """A stored row without what an earlier version took and a load refuses today, as long as that had no effect."""
        return row

    def field_in_file(self, field: str, values: Mapping[str, Any], home: Home) -> str:
        """Where a field of a row stands in the values that it was read from, in which lists may be in another order."""
        del values, home
        return field

    def checked(self, row: S, home: Home, faults: Faults) -> S:
        """The row by itself, in the form in which it is stored."""
        raise NotImplementedError

    def references(self, row: S) -> Iterator[Reference]:
        """The rows that a row names."""
        raise NotImplementedError

    def fitted(self, row: S, known: Known, faults: Faults) -> S:
        """The row among the others, whose references have to be there and fit; in the form in which it is stored."""
        raise NotImplementedError

    def matters(self, before: S, after: S) -> bool:
        """Whether a change of a row may be against what rows that lean on it were checked for, or read them anew."""
        del before, after
        return True

    def locks(
        self, before: S | None, after: S | None, get: Callable[[RowKind, str], Any]
    ) -> Iterator[tuple[str, Fault]]:
        """What the admin of its company may not do to a row for another reason than the field. `get`: rows before."""
        del before, after, get
        yield from ()


def check_ids(row: msgspec.Struct, faults: Faults, *names: str) -> None:
    """Check fields that hold ids."""
    for name in names:
        check_id(getattr(row, name), name, faults)
