"""Small data sets for tests: entries as a data file has them, and a store in a dictionary."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from dialplan.dataset.changes import ChangeSet, NothingStored, Stored, prepare
from dialplan.dataset.later import LaterRow, readable
from dialplan.dataset.problems import DataProblems, Place, Problem
from dialplan.dataset.reader import RawRow
from dialplan.kinds.registry import Row, RowKind

# A data file's beginning: a company that calls its subscribers, and the flow of those who call it.
ACME = """
[[companies]]
id = "acme"
name = "Acme"
region = "GB"
identified = true

[[call_flows]]
id = "menu"
company = "acme"
name = "Menu"
destination = { context = "flow-menu" }
"""
ACME_NUMBER = """
[[numbers]]
number = "02079460000"
company = "acme"
call_flow = "menu"
"""
ACME_CAMPAIGN = """
[[campaigns]]
id = "win-back"
company = "acme"
name = "Win back"
direction = "outbound"
destination = { context = "campaign-win-back" }
accept_incoming = true
caller_ids = ["02079460000"]
"""
Entry = tuple[RowKind, dict[str, Any]]


def company(key: str = "acme", /, **fields: Any) -> Entry:
    """A British company."""
    return RowKind.COMPANY, {"id": key, "name": key, "region": "GB", "timezone": "Europe/London"} | fields


def flow(key: str, /, **fields: Any) -> Entry:
    """A call flow of the platform's, or of `company`."""
    return RowKind.CALL_FLOW, {"id": key, "name": key, "destination": {"context": f"flow-{key}"}} | fields


def campaign(key: str, /, **fields: Any) -> Entry:
    """An inbound campaign of acme's."""
    values = {"id": key, "company": "acme", "name": key, "direction": "inbound"}
    return RowKind.CAMPAIGN, values | {"destination": {"context": f"campaign-{key}"}} | fields


def number(text: str = "02079460000", /, **fields: Any) -> Entry:
    """A number that acme reserved."""
    return RowKind.NUMBER, {"number": text, "company": "acme"} | fields


def raw(*entries: Entry, file: str = "set.toml") -> list[RawRow]:
    """Entries as rows of a file, each at its place."""
    return [
        RawRow(kind, Place(file, f"{kind}[{position}]"), values)
        for position, (kind, values) in enumerate(entries, start=1)
    ]


class Held:
    """A store in a dictionary."""

    def __init__(self) -> None:
        self.held: dict[RowKind, dict[str, Row]] = {kind: {} for kind in RowKind}

    def of_other_kinds(self) -> Iterator[LaterRow]:
        return iter(())

    def get(self, kind: RowKind, key: str) -> Row | None:
        return self.held[kind].get(key)

    def rows(self, kind: RowKind, _naming: AbstractSet[str] = frozenset()) -> Iterator[Row]:
        return iter([self.held[kind][key] for key in sorted(self.held[kind])])

    def take(self, changes: ChangeSet) -> None:
        """Apply a change set, as a commit would."""
        for kind, rows in changes.rows.items():
            for key, held in rows.items():
                row = readable(held)
                if row is None:
                    del self.held[RowKind(str(kind))][key]
                else:
                    self.held[RowKind(str(kind))][key] = row


def held(*entries: Entry) -> Held:
    """A store that holds these entries."""
    store = Held()
    store.take(prepare(raw(*entries), NothingStored()))
    return store


def refused(*entries: Entry, stored: Stored | None = None, **options: Any) -> list[Problem]:
    """The problems for which entries are refused; a failure where they are not."""
    try:
        changes = prepare(raw(*entries), stored or NothingStored(), **options)
    except DataProblems as error:
        return error.problems
    raise AssertionError(f"nothing was wrong with it: {changes}")


def fields(problems: list[Problem]) -> list[str]:
    """Where in their entries the problems are."""
    return [each.field for each in problems]
