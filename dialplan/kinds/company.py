"""Companies: the tenants."""

import msgspec


class Company(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tenant."""

    id: str
    name: str
    region: str  # ISO 3166 country: reads the company's national numbers
    timezone: str = "UTC"  # IANA zone: reads times that carry no offset
    identified: bool = False
    default_flow: str | None = None
