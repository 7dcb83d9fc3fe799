"""What has no destination of its own goes to its company's default, else to the platform's."""

from dialplan.kinds.call_flow import CallFlow
from dialplan.routing.steps.step import ClaimNeed, Situation, Step
from dialplan.routing.target import Cache, Kind, Routes, place
from dialplan.wording import Code

NO_DESTINATION = "no-destination"

_COMPANYS = Code("default-of-company", "default flow {flow!q} of company {company!q}: {place}")
_COMPANY_HAS_NONE = Code("default-missing", "company {company!q} has no default flow")
_PLATFORMS = Code("default-of-platform", "the platform's: {place}")


def default_flow(routes: Routes, company_id: str) -> CallFlow | None:
    """What takes the calls of a company that lead nowhere else; None: the platform's destination does."""
    company = routes.companies.get(company_id) if company_id else None
    return routes.flows.get(company.default_flow) if company is not None and company.default_flow else None


class FallbackStep(Step):
    """Finds a default. The reason stays that of the step that ended the call, if one has."""

    name = "fallback"
    reasons = (NO_DESTINATION,)
    everywhere = True
    last = True

    def resolve(self, call: Situation, known: object | None) -> ClaimNeed | None:
        """The company's default flow, else the platform's destination."""
        del known
        if call.row is not None:
            return None
        if not call.ended:
            call.reason = NO_DESTINATION
            call.cache = Cache.NO if call.left_out else Cache.DROP
        company_id = call.company
        flow = default_flow(call.routes, company_id)
        call.row, call.kind, call.values = flow, Kind.DEFAULT, ()
        if flow is not None:
            call.destination = flow.destination
            call.tell("default", "taken", _COMPANYS(flow=flow.id, company=company_id, place=place(flow.destination)))
            return None
        call.destination = call.default
        if company_id:
            call.tell("default", "rejected", _COMPANY_HAS_NONE(company=company_id))
        call.tell("default", "taken", _PLATFORMS(place=place(call.default)))
        return None
