"""Numbers of each kind of line: what they are, and of which country."""

import pytest

from dialplan.numbering.line_types import countries_of, lines_of


@pytest.mark.parametrize(
    ("number", "lines", "countries"),
    [
        ("+442079460000", {"landline"}, {"GB"}),
        ("+447400123456", {"mobile"}, {"GB"}),
        ("+12025550143", {"landline", "mobile"}, {"US"}),
        ("+448001111111", {"toll-free"}, {"GB"}),
        ("+449098790000", {"premium-rate"}, {"GB"}),
        ("+19005551234", {"premium-rate"}, {"US"}),
        ("+491801123456", {"shared-cost"}, {"DE"}),
        ("+447012345678", {"personal"}, {"GB"}),
        ("+77012345678", {"mobile"}, {"KZ"}),
        ("+881612345678", {"satellite"}, set()),
        ("+8823456789", {"satellite"}, set()),
        ("+870773123456", {"satellite"}, set()),
        ("+979123456789", {"premium-rate"}, set()),
        ("+80012345678", {"toll-free"}, set()),
        ("+447700900123", {"unknown"}, {"GB", "GG", "IM", "JE"}),  # kept for films: nobody has it
        ("+1", {"unknown"}, set()),
    ],
)
def test_a_number_is_of_a_line_and_a_country(number: str, lines: set[str], countries: set[str]) -> None:
    assert (set(lines_of(number)), set(countries_of(number))) == (lines, countries)
