"""What a change has to pass: one module a check, over the data before and after. Each finding refuses or warns."""

from collections.abc import Callable, Iterator

from dialplan.dataset.checks import later_rows, locked_choice, permissions, references, referrers
from dialplan.dataset.data import ChangeSet, Data, Finding

# Over the rows; what they find refuses.
CHECKS: tuple[Callable[[Data], Iterator[Finding]], ...] = (references.check, referrers.check)
# Over what really changes, once the rows are good.
EDIT_CHECKS: tuple[Callable[[Data, ChangeSet], Iterator[Finding]], ...] = (
    permissions.check,
    later_rows.check,
    locked_choice.check,
)
