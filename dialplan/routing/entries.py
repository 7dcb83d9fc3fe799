"""Rows of numbers -> entries. Most say what many others say: equal ones are one object."""

from dialplan.kinds.number import CallbackRule, Number, Status
from dialplan.routing.digest import packed
from dialplan.routing.entry import Entry
from dialplan.routing.kept import Kept
from dialplan.routing.steps import COMPILING
from dialplan.routing.target import SHARED_MAX, Targets

# Entries with steps or values of their own, which are mostly different, that are looked for among the latest.
OWN_SHARED_MAX = 4_096


class Entries:
    """Makes entries, one after the other, for the patches of one table."""

    def __init__(self) -> None:
        self._targets = Targets()
        self._plain: Kept[tuple[str | None, Status, str | None, str | None, CallbackRule], tuple[Entry, bytes]] = Kept(
            SHARED_MAX
        )
        self._own: Kept[bytes, Entry] = Kept(OWN_SHARED_MAX)

    def of(self, row: Number) -> tuple[Entry, bytes]:
        """The entry of a row, and what it says, packed; see `dialplan.routing.digest`."""
        steps = self._steps(row)
        if steps or row.parameters:
            entry = self._made(row, steps)
            content = packed(entry)
            return self._own.get(content) or self._own.put(content, entry), content
        return self._plain_of(row)

    def different(self, row: Number) -> Entry:
        """The entry of a row that is known to differ from the others: one of its own is not looked for among them."""
        steps = self._steps(row)
        return self._made(row, steps) if steps or row.parameters else self._plain_of(row)[0]

    def _steps(self, row: Number) -> tuple[tuple[str, object], ...]:
        steps: tuple[tuple[str, object], ...] = ()
        for step in COMPILING:
            made = step.compile(row, self._targets)
            if made is not None:
                steps = (*steps, (step.name, made))
        return steps

    def _plain_of(self, row: Number) -> tuple[Entry, bytes]:
        key = (row.company, row.status, row.call_flow, row.inbound_campaign, row.callback_rule)
        known = self._plain.get(key)
        if known is None:
            entry = self._made(row, ())
            known = self._plain.put(key, (entry, packed(entry)))
        return known

    def _made(self, row: Number, steps: tuple[tuple[str, object], ...]) -> Entry:
        company, active = self._targets.text(row.company), row.status is Status.ACTIVE
        return Entry(company, active, self._targets.of(row), row.callback_rule, steps)
