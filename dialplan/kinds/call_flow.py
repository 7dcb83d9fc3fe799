"""Call flows: where a call is handled, and which parameters a number may set there."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import msgspec

from dialplan.dataset.parameters import check_declaration, read_value, takes_as_before
from dialplan.dataset.problems import Fault, Faults
from dialplan.kinds.contexts import check_leads, destination_lock
from dialplan.kinds.fields import (
    NAME_MAX_CHARS,
    ByCompany,
    Destination,
    Home,
    check_destination,
    check_id,
    check_text,
)
from dialplan.kinds.kind import ASK_OWNER, Kind, Known, Reference, RowKind
from dialplan.kinds.parameter import PARAMETER_NAMES_MAX_CHARS, PARAMETERS_PER_FLOW, Parameter
from dialplan.wording import Code

_TOO_MANY = Code("too-many-parameters", "{count} parameters", "use at most {limit}")
_NAMES_TOO_LONG = Code("parameter-names-too-long", "names of {count} characters in all", "use at most {limit}")
_TWICE = Code("parameter-twice", "{name!q} is declared twice", "keep one of them")
_LOCKED = Code("flow-locked", "the call flow is locked", ASK_OWNER)
_LOCKED_BY_OWNER = Code(
    "locked-flows-are-the-owners", "only the platform owner has locked call flows made or removed", ASK_OWNER
)


class CallFlow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Where a call is handled, and what a number may set there. Without a company it is the platform's."""

    id: str
    name: ByCompany[str]
    destination: ByCompany[Destination]
    company: str | None = None
    locked: bool = False
    parameters: ByCompany[tuple[Parameter, ...]] = ()


class CallFlowKind(Kind[CallFlow]):
    """Call flows in a data set."""

    name = RowKind.CALL_FLOW
    word = "call flow"
    code = 2
    struct = CallFlow
    refers_to = leans_on = frozenset({RowKind.COMPANY})
    blanks: ClassVar[Mapping[str, Any]] = {"id": "-", "name": "", "destination": {"context": "-"}}

    def checked(self, row: CallFlow, home: Home, faults: Faults) -> CallFlow:
        """Its destination and its declarations; defaults in their own type."""
        check_id(row.id, "id", faults)
        check_id(row.company, "company", faults)
        check_text(row.name, "name", NAME_MAX_CHARS, faults)
        faults.extend(check_destination(row.destination))
        if len(row.parameters) > PARAMETERS_PER_FLOW:
            faults.append(("parameters", _TOO_MANY(count=len(row.parameters), limit=PARAMETERS_PER_FLOW)))
        names_chars = sum(len(parameter.name) + 1 for parameter in row.parameters)
        if names_chars > PARAMETER_NAMES_MAX_CHARS:
            faults.append(("parameters", _NAMES_TOO_LONG(count=names_chars, limit=PARAMETER_NAMES_MAX_CHARS)))
        parameters: list[Parameter] = []
        seen: set[str] = set()
        for place, parameter in enumerate(row.parameters, start=1):
            path = f"parameters[{place}]"
            found = list(check_declaration(parameter, home.region))
            faults.extend((f"{path}.{field}", fault) for field, fault in found)
            if parameter.name in seen:
                faults.append((path, _TWICE(name=parameter.name)))
            seen.add(parameter.name)
            parameters.append(parameter if found else _with_read_default(parameter, home.region))
        return msgspec.structs.replace(row, parameters=tuple(parameters))

    def references(self, row: CallFlow) -> Iterator[Reference]:
        """Its company."""
        if row.company is not None:
            yield Reference("company", RowKind.COMPANY, row.company)

    def fitted(self, row: CallFlow, known: Known, faults: Faults) -> CallFlow:
        """Its company has to be there, and to lead calls to such a context."""
        if row.company is not None:
            company = known.find(RowKind.COMPANY, row.company, "company", faults)
            if company is not None:
                check_leads(row.destination, company, faults)
        return row

    def matters(self, before: CallFlow, after: CallFlow) -> bool:
        """Whose it is, and whether it takes the values that were given to it. Where it leads is nobody else's."""
        return before.company != after.company or not takes_as_before(before.parameters, after.parameters)

    def locks(
        self, before: CallFlow | None, after: CallFlow | None, get: Callable[[RowKind, str], Any]
    ) -> Iterator[tuple[str, Fault]]:
        """A locked flow is the platform owner's, and so are destinations of a company that has no contexts."""
        if before is None or after is None:
            changed = before or after
            if changed is not None and changed.locked:
                yield "locked", _LOCKED_BY_OWNER()
        elif before.locked and before != after:
            yield "", _LOCKED()
        changed = before or after
        if changed is not None and changed.company is not None:
            yield from destination_lock(before, after, get(RowKind.COMPANY, changed.company))


def _with_read_default(parameter: Parameter, region: str) -> Parameter:
    if parameter.default is None:
        return parameter
    default = read_value(parameter, parameter.default, region)
    return parameter if isinstance(default, Fault) else msgspec.structs.replace(parameter, default=default)
