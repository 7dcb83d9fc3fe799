"""What lines a number may be of, and of which country it is: by the metadata of `phonenumbers`.

For what people enter, not for calls: it matches expressions, some 50 µs a number.
"""

from enum import StrEnum

import phonenumbers
from phonenumbers import PhoneNumberType


class CalledLine(StrEnum):
    """A line that somebody may be called at."""

    LANDLINE = "landline"
    MOBILE = "mobile"
    TOLL_FREE = "toll-free"
    PREMIUM_RATE = "premium-rate"
    SHARED_COST = "shared-cost"
    PERSONAL = "personal"
    VOIP = "voip"
    PAGER = "pager"
    UAN = "uan"
    VOICEMAIL = "voicemail"
    SATELLITE = "satellite"
    UNKNOWN = "unknown"  # of a range that the metadata does not know


# What nobody should be able to enter by the way: it costs several units of money a minute.
COSTLY = frozenset({CalledLine.PREMIUM_RATE, CalledLine.SATELLITE})
# By calling codes of no country, ITU-T E.164: satellites and other networks, and international premium rate.
_OF_NO_COUNTRY = dict.fromkeys((870, 881, 882, 883), CalledLine.SATELLITE) | {979: CalledLine.PREMIUM_RATE}
_LINES = {
    PhoneNumberType.FIXED_LINE: {CalledLine.LANDLINE},
    PhoneNumberType.MOBILE: {CalledLine.MOBILE},
    PhoneNumberType.FIXED_LINE_OR_MOBILE: {CalledLine.LANDLINE, CalledLine.MOBILE},
    PhoneNumberType.TOLL_FREE: {CalledLine.TOLL_FREE},
    PhoneNumberType.PREMIUM_RATE: {CalledLine.PREMIUM_RATE},
    PhoneNumberType.SHARED_COST: {CalledLine.SHARED_COST},
    PhoneNumberType.PERSONAL_NUMBER: {CalledLine.PERSONAL},
    PhoneNumberType.VOIP: {CalledLine.VOIP},
    PhoneNumberType.PAGER: {CalledLine.PAGER},
    PhoneNumberType.UAN: {CalledLine.UAN},
    PhoneNumberType.VOICEMAIL: {CalledLine.VOICEMAIL},
}


def lines_of(number: str) -> frozenset[CalledLine]:
    """The lines that a number (E.164) may be of: in some plans a landline and a mobile look the same."""
    code, parsed = _parsed(number)
    if code in _OF_NO_COUNTRY:
        return frozenset({_OF_NO_COUNTRY[code]})
    return frozenset(_LINES.get(phonenumbers.number_type(parsed), {CalledLine.UNKNOWN}))


def countries_of(number: str) -> frozenset[str]:
    """The ISO 3166 codes of the countries that a number (E.164) may be of; none for networks of no country.

    Several where a calling code is shared and the metadata does not know whose the number is.
    """
    code, parsed = _parsed(number)
    known = phonenumbers.region_code_for_number(parsed)
    found = [known] if known else phonenumbers.region_codes_for_country_code(code)
    return frozenset(each for each in found if each != phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY)


def _parsed(number: str) -> tuple[int, phonenumbers.PhoneNumber]:
    """Its calling code and itself; 0 and a number of nobody where the library takes it for none."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        parsed = phonenumbers.PhoneNumber()
    return parsed.country_code or 0, parsed
