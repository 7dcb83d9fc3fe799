"""Which version of extensions_ringway.conf an Asterisk has loaded, by what the file itself says."""

from collections.abc import Mapping

from dialplan.wording import quote
from router.doctor.findings import Finding, fine, wrong

# RINGWAY_DIALPLAN of the file that goes with this router. A test asks for a new number with each change of the file.
DIALPLAN_VERSION = 1
GLOBAL = "RINGWAY_DIALPLAN"
LOADED = "RINGWAY_CHOICE_1"  # a global that the file has always set, and no site
_PART = "dialplan"
_RELOAD = 'asterisk -rx "dialplan reload"'
_DIGITS_MAX = 9


def loaded(of: str, asterisk: Mapping[str, str]) -> Finding:
    """What an Asterisk has loaded; `asterisk`: its globals."""
    said = asterisk.get(GLOBAL, "").strip()
    if not said and not asterisk.get(LOADED, ""):
        mend = f'#include "ringway/extensions_ringway.conf" in extensions.conf, below all of [globals]; {_RELOAD}'
        return wrong(_PART, "extensions_ringway.conf is not loaded", mend, of)
    copy = f"copy deploy/asterisk of this version over /etc/asterisk/ringway, and {_RELOAD}"
    if not said:
        return wrong(_PART, f"extensions_ringway.conf is older than version {DIALPLAN_VERSION}", copy, of)
    if not (said.isascii() and said.isdigit() and len(said) <= _DIGITS_MAX):
        return wrong(_PART, f"it says that it is version {quote(said)}, which is none", copy, of)
    if int(said) < DIALPLAN_VERSION:
        what = f"extensions_ringway.conf is version {int(said)}, and this router comes with {DIALPLAN_VERSION}"
        return wrong(_PART, what, copy, of)
    if int(said) > DIALPLAN_VERSION:
        what = f"extensions_ringway.conf is version {int(said)}, newer than this router's {DIALPLAN_VERSION}"
        return wrong(_PART, what, "upgrade the router, or copy the files that came with it", of)
    return fine(_PART, f"extensions_ringway.conf is version {DIALPLAN_VERSION}", of)
