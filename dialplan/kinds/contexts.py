"""Where calls of a company may lead: the contexts of Asterisk's dialplan that the platform owner gave it.

Whoever may write any context may have calls go anywhere, to paid numbers too.
"""

from collections.abc import Iterator
from typing import Protocol

from dialplan.dataset.problems import Fault, Faults
from dialplan.kinds.fields import CONTEXT_MAX_CHARS, Destination, is_context
from dialplan.kinds.kind import ASK_OWNER
from dialplan.wording import Code

CONTEXTS_PER_COMPANY = 100
_ANY = "*"  # behind the beginning of a name: all that begin so

_NOT_A_PATTERN = Code(
    "not-a-context-pattern",
    "{value!q} is neither a context nor the beginning of some",
    "use letters, digits and _ . @ : -, at most {limit}, and * at the end for all that begin so",
)
_TOO_MANY = Code("too-many-contexts", "{count} contexts", "use at most {limit}")
_ELSEWHERE = Code(
    "context-not-allowed",
    "calls of company {company!q} may lead to {allowed}, not to {context!q}",
    "name one of those, or have the platform owner allow this one",
)
_BY_OWNER = Code(
    "destination-by-owner",
    "company {company!q} has no contexts, so that only the platform owner says where its calls lead",
    ASK_OWNER,
)


class Tenant(Protocol):
    """A company, as far as it matters here."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def contexts(self) -> tuple[str, ...] | None:
        """Where its calls may lead; None: the owner says it in each row."""


class Leading(Protocol):
    """A call flow or a campaign."""

    @property
    def company(self) -> str | None:
        """Whose it is; None: the platform's."""

    @property
    def destination(self) -> Destination:
        """Where calls go by it."""


def check_contexts(patterns: tuple[str, ...], faults: Faults) -> None:
    """Check the contexts of a company: names, or beginnings of names with * behind them."""
    if len(patterns) > CONTEXTS_PER_COMPANY:
        faults.append(("contexts", _TOO_MANY(count=len(patterns), limit=CONTEXTS_PER_COMPANY)))
    for place, pattern in enumerate(patterns, start=1):
        if pattern != _ANY and not is_context(pattern.removesuffix(_ANY)):
            faults.append((f"contexts[{place}]", _NOT_A_PATTERN(value=pattern, limit=CONTEXT_MAX_CHARS)))


def check_leads(destination: Destination, company: Tenant, faults: Faults) -> None:
    """Check that a row of the company leads to one of its contexts, where it has been given some."""
    allowed = company.contexts
    if allowed is not None and not any(_matches(destination.context, pattern) for pattern in allowed):
        told = ", ".join(allowed) or "no context at all"
        fault = _ELSEWHERE(company=company.id, allowed=told, context=destination.context)
        faults.append(("destination.context", fault))


def _matches(context: str, pattern: str) -> bool:
    return context.startswith(pattern[:-1]) if pattern.endswith(_ANY) else context == pattern


def destination_lock(
    before: Leading | None, after: Leading | None, company: Tenant | None
) -> Iterator[tuple[str, Fault]]:
    """Why an admin of `company` may not give its row this destination. `company` is None where it cannot be read."""
    if after is None or after.company is None or (before is not None and before.destination == after.destination):
        return
    if company is None or company.contexts is None:
        yield "destination", _BY_OWNER(company=after.company)
