"""What the configuration itself says, before anybody is asked."""

from collections.abc import Sequence

from router.config.settings import Settings
from router.doctor.findings import Finding, fine, refused, unseen

# The parts that follow, as a site reads them; without a configuration none of them can be looked at.
PARTS = ("store", "attempts", "agi port", "agi allow", "router", "manager")


def usable(settings: Settings, source: str) -> list[Finding]:
    """A configuration that can be used."""
    watched = ", ".join(f"{each.name} at {each.host}:{each.port}" for each in settings.ami) or "no Asterisk"
    return [fine("configuration", f"{source}; it watches {watched}")]


def unusable(text: str) -> Sequence[Finding]:
    """One that cannot be: `text` says why and what to do. All the rest is not known then."""
    rest = (unseen(part, "the configuration cannot be used") for part in PARTS)
    return [refused("configuration", text), *rest]
