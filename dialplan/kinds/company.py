"""Companies: the tenants."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import msgspec

from dialplan.dataset import parameters, times
from dialplan.dataset.problems import Faults
from dialplan.kinds.contexts import check_contexts
from dialplan.kinds.fields import NAME_MAX_CHARS, ByCompany, Home, check_id, check_text
from dialplan.kinds.kind import Kind, Known, Reference, RowKind
from dialplan.numbering import numbers
from dialplan.wording import Code

_NOT_A_COUNTRY = Code("not-a-country", "{value!q} is not a country", "use its ISO 3166 code, such as GB")
_NOT_A_ZONE = Code("not-a-zone", "{value!q} is not a time zone", "use its IANA name, such as Europe/London")
_MACHINES_ZONE = Code(
    "zone-of-a-machine", "{value!q} depends on the machine's own set-up", "use its IANA name, such as Europe/London"
)
_NEEDS_VALUES = Code("default-flow-needs-values", "call flow {flow!q} requires {name}", "give it a default in the flow")


class Company(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A tenant."""

    id: str
    name: ByCompany[str]
    region: str  # ISO 3166 country: reads the company's national numbers
    timezone: ByCompany[str] = "UTC"  # IANA zone: reads times that carry no offset
    identified: bool = False
    default_flow: ByCompany[str | None] = None
    contexts: tuple[str, ...] | None = None  # of its flows and campaigns; None: the owner says it in each


class CompanyKind(Kind[Company]):
    """Companies in a data set."""

    name = RowKind.COMPANY
    word = "company"
    code = 1
    struct = Company
    refers_to = leans_on = frozenset({RowKind.CALL_FLOW})
    added_by_company = False
    blanks: ClassVar[Mapping[str, Any]] = {"id": "-", "name": "", "region": "GB"}
    follows: ClassVar[Mapping[str, frozenset[str]]] = {"default_flow": frozenset({"id"})}

    def home_in(self, values: Mapping[str, Any]) -> Home | None:
        """Its country, which reads the numbers of its other rows, and its time zone, which reads their times."""
        region, timezone = values.get("region"), values.get("timezone", "UTC")
        if not isinstance(region, str) or not numbers.is_region(region):
            return None
        return Home(region, timezone if isinstance(timezone, str) and times.zone(timezone) else "UTC")

    def owner(self, row: Company) -> str | None:
        """Itself."""
        return row.id

    def checked(self, row: Company, home: Home, faults: Faults) -> Company:
        """Its country and its time zone are known."""
        del home
        check_id(row.id, "id", faults)
        check_text(row.name, "name", NAME_MAX_CHARS, faults)
        if not numbers.is_region(row.region):
            faults.append(("region", _NOT_A_COUNTRY(value=row.region)))
        if times.zone(row.timezone) is None:
            code = _MACHINES_ZONE if times.is_machines_own(row.timezone) else _NOT_A_ZONE
            faults.append(("timezone", code(value=row.timezone)))
        check_id(row.default_flow, "default_flow", faults)
        check_contexts(row.contexts or (), faults)
        return row

    def matters(self, before: Company, after: Company) -> bool:
        """Where its flows and campaigns may lead."""
        return before.contexts != after.contexts and after.contexts is not None

    def references(self, row: Company) -> Iterator[Reference]:
        """Its default flow."""
        if row.default_flow is not None:
            yield Reference("default_flow", RowKind.CALL_FLOW, row.default_flow)

    def fitted(self, row: Company, known: Known, faults: Faults) -> Company:
        """A default flow has to do without values: no number gives it any."""
        flow = known.flow_for(row.id, row.default_flow, "default_flow", faults)
        for name in parameters.missing(flow, {}) if flow is not None else ():
            faults.append(("default_flow", _NEEDS_VALUES(flow=flow.id, name=name)))
        return row
