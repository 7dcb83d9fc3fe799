"""Forms that a plan has given up, though carriers still send them. The metadata of `phonenumbers` forgets those.

Here are the changes that left each old number one new one, by a rule, and old numbers that no number of today has.
"""

from collections.abc import Mapping
from typing import Final

from dialplan.numbering.patterns import Rewrite

_OLD_AREAS: Final = "1245678"  # of Colombia

# Significant numbers:
NUMBERS: Final[Mapping[str, tuple[Rewrite, ...]]] = {
    "MX": (Rewrite("1", "", 10, 10),),  # 1 before mobile numbers, until 2019
    "BJ": (Rewrite("", "01", 8, 8),),  # eight digits, until 2024
    "CO": tuple(Rewrite(area, "60" + area, 7, 7) for area in _OLD_AREAS),  # areas of one digit, until 2021
}
# What people dialled at home, or were shown:
DIALLED: Final[Mapping[str, tuple[Rewrite, ...]]] = {
    "MX": tuple(Rewrite(prefix, "", 10, 10) for prefix in ("01", "044", "045")),
    "CO": tuple(Rewrite("0" + area, "60" + area, 7, 7) for area in _OLD_AREAS),
}
