"""Reading and showing phone numbers: any text to E.164 or a reason, E.164 to what people of a region expect.

The order in which digits are read, for a region (its *plan*) and the trunk's setting for bare digits:

1. `+…`: calling code and significant number. What stands between them by habit (`+44 (0)20 …`) is dropped
   where the number does not fit its plan as it stands but fits it without; so never in Italy. A 0 is dropped
   so in every country, a superseded form (`+52 1 …`, see `dialplan.numbering.superseded`) becomes the one of
   today, and where no number of the country begins with 0, what does not fit without it is none. What the
   region dials at home (`8 800 …` in Russia) is refused behind a + where it would need any of that.
2. Without a `+`, the first of these that *fits*, that is, begins and counts as the plan's numbers do:
   a. where the region dials abroad otherwise: `00`, its own calling code and a number of its own that may
      be assigned, though `00` and the next digits mean something there (`0066 2…` in Thailand);
   b. a national number of a plan over several calling codes (`0696…` in France is of Martinique, +596);
   c. an international prefix of the region (`00`, `011`, `8~10`, …) and an international number;
   d. a national prefix of the region (`0`, `06`, `8`, `1`, a carrier's `0…`) and a significant number, the
      longest prefix first;
   e. a significant number that begins with 0 itself (Italy), unless what marks it is no more than an
      international prefix; with 00, one that may be assigned;
   f. `0` and a significant number, whatever the country's own trunk prefix is;
   g. `00` and an international number, whatever the region dials abroad with;
   h. bare digits, by the setting. NATIONAL takes the region's own calling code where a mobile number follows
      it or where these digits are no national number that may be assigned (`4915123456789` and
      `4921123456` in DE: the latter is Emden's), local forms (`2921234` in Bermuda) and a significant number;
      E164 takes what would do after a `+`.
3. Where none fits, the number may be of a range that the metadata does not know. Then a possible length
   will do, in the order: `+…` or an international prefix, bare E.164, the plain national prefix, bare
   national digits.

So a prefix of the region's own wins over the bare reading in every mode, where what follows fits. It matters
in regions whose prefix is a digit that calling codes begin with: in RU and KZ `8 495 123 45 67` is Moscow
and not Vietnam (+84 951 234 567), in LT `8 612 34567` is a Lithuanian mobile. In the countries of +1 both
readings of `1 212 555 0123` are one number; but a trunk there that sends ten digits needs NATIONAL, since
bare E.164 makes Egypt of `202 555 0123`. Carrier selection that begins otherwise (`12593` in China) is read
as such by NATIONAL only: elsewhere it would swallow bare numbers from abroad.

A digit string is checked against the plan's lengths; whether a number may be assigned (whether it is of some kind:
fixed, mobile, toll-free, …) only tells two readings from one another. Reading does dictionary and
string work alone: no expression is matched here, see `dialplan.numbering.plans`.
"""

from enum import StrEnum
from typing import Final

from dialplan.numbering.parsing import MAX_TEXT, Unreadable, digits_of
from dialplan.numbering.plans import CODE_DIGITS, Heads, Numbering, Plan, numbering
from dialplan.numbering.shared import SharedPlan

__all__ = ["Bare", "Unreadable", "is_region", "national", "normalise"]

_NOTHING: Final[tuple[str, ...]] = ()


class Bare(StrEnum):
    """How digits without any prefix are read: the `bare` setting of a trunk."""

    E164 = "e164"
    NATIONAL = "national"
    REFUSE = "refuse"


def normalise(text: str, region: str, bare: Bare) -> str | Unreadable:
    """Read `text` as somebody in `region` ("GB") means it: `+` and the digits of E.164, or why it is none.

    Total: never raises, whatever the text. Idempotent: what it returns it returns again, in every region
    and mode. With an unknown region `+…` and, where `bare` is E164, bare digits are still read.
    """
    if len(text) > MAX_TEXT:
        return Unreadable.TOO_LONG
    world = numbering()
    # Nearly all that trunks send is plain digits or + and digits, and needs no look at each character.
    if not text.isdigit() or not text.isascii():
        if not text.isascii() or not text.removeprefix("+").isdigit():
            digits = digits_of(text)
            if isinstance(digits, Unreadable):
                return digits
            text = digits
        if text[0] == "+":
            code = world.codes.get(text[1 : 1 + CODE_DIGITS])
            if code is not None:
                significant = text[1 + code.size :]
                if significant.startswith(code.heads.get(len(significant), _NOTHING)):
                    return text
            return _after_plus(text[1:], world.plans.get(region), world)
    plan = world.plans.get(region)
    if plan is None:
        return _without_region(text, bare, world)
    return _fitting(text, plan, bare, world) or _possible(text, plan, bare, world)


def national(e164: str, region: str) -> str:
    """Show the number `e164` to people of `region`: `0…` where it is theirs, else `+…` as it came.

    Theirs is what has their calling code. `0…` is 0 and the significant number, or that number alone where
    it begins with 0. It is used only where it reads back as the same number, which it then does in every
    mode: digits that begin with 0 are never bare.
    """
    plan = numbering().plans.get(region)
    if plan is None or not e164.startswith("+" + plan.code.digits):
        return e164
    significant = e164[1 + plan.code.size :]
    shown = significant if significant.startswith("0") else "0" + significant
    return shown if normalise(shown, region, Bare.REFUSE) == e164 else e164


def is_region(text: str) -> bool:
    """Whether `text` is the ISO 3166 code, in capitals, of a region whose numbering plan is known."""
    return text in numbering().plans


def _fits_abroad(digits: str, world: Numbering) -> str | None:
    """Read `digits` as calling code and a number that fits, with what people write between them dropped."""
    code = world.codes.get(digits[:CODE_DIGITS])
    if code is None:
        return None
    significant = digits[code.size :]
    if significant.startswith(code.heads.get(len(significant), _NOTHING)):
        return "+" + digits
    rewritten = code.prefixes.rewritten(significant, code.main_heads)
    return None if rewritten is None else "+" + code.digits + rewritten


def _corrected(digits: str, world: Numbering) -> str | None:
    """The same with what no plan of today has: a 0 that nobody dials in that country, and superseded forms."""
    fitting = _fits_abroad(digits, world)
    code = world.codes.get(digits[:CODE_DIGITS])
    if fitting is not None or code is None:
        return fitting
    significant = digits[code.size :]
    if significant.startswith("0") and significant.startswith(_after_one_zero(significant, code.main_heads), 1):
        return "+" + code.digits + significant[1:]
    renewed = code.superseded.rewritten(significant, code.main_heads)
    return None if renewed is None else "+" + code.digits + renewed


def _after_one_zero(digits: str, heads: Heads) -> tuple[str, ...]:
    """How what follows the 0 in front has to begin. A number that begins with 0 gets no second one."""
    return heads.get(len(digits) - 1, _NOTHING) if digits[1:2] != "0" else _NOTHING


def _after_plus(digits: str, plan: Plan | None, world: Numbering) -> str | Unreadable:
    """Read what stands after a + and does not fit as it stands."""
    read = _abroad(digits, world)
    if read != "+" + digits and plan is not None and plan.own.rewritten(digits, plan.within) is not None:
        return Unreadable.KEPT_PREFIX
    return read


def _abroad(digits: str, world: Numbering) -> str | Unreadable:
    """Read `digits` as calling code and a number that fits, or else has a possible length."""
    fitting = _corrected(digits, world)
    if fitting is not None:
        return fitting
    code = world.codes.get(digits[:CODE_DIGITS])
    if code is None:
        return Unreadable.TOO_SHORT if len(digits) < CODE_DIGITS else Unreadable.UNKNOWN_COUNTRY_CODE
    significant = digits[code.size :]
    if significant.startswith("0") and not significant.startswith(code.zeros):
        significant = significant[1:]
        if significant.startswith("0") or not code.trunk_zero:
            return _length_reason(significant, code.lengths)
        return _abroad(code.digits + significant, world)
    if len(significant) in code.lengths:
        return "+" + digits
    return _length_reason(significant, code.lengths)


def _fitting(digits: str, plan: Plan, bare: Bare, world: Numbering) -> str | None:
    """Rule 2 of the order: the first reading of `digits` (ASCII, not empty) that fits its plan."""
    if digits.startswith(plan.marks):
        marked = _marked(digits, plan, world)
        if marked is not None:
            return marked
    significant = plan.own.rewritten(digits, plan.within)
    if significant is None:
        if digits[0] == "0":
            return _after_zero(digits, plan, world)
        if bare is Bare.E164:
            return _fits_abroad(digits, world)
        if bare is not Bare.NATIONAL:
            return None
        if digits.startswith(plan.bare_marks):
            marked = _marked_bare(digits, plan, world)
            if marked is not None:
                return marked
        significant = plan.other.rewritten(digits, plan.heads)
        if significant is None:
            if digits.startswith(plan.heads.get(len(digits), _NOTHING)):
                return "+" + plan.code.digits + digits
            significant = plan.code.superseded.rewritten(digits, plan.heads)
    return None if significant is None else "+" + plan.code.digits + significant


def _marked(digits: str, plan: Plan, world: Numbering) -> str | None:
    """Rules 2a to 2c."""
    if plan.home and digits.startswith("00" + plan.code.digits):
        home = _corrected(digits[2:], world)
        if home is not None:
            significant = home[1 + plan.code.size :]
            if significant.startswith(plan.home.get(len(significant), _NOTHING)):
                return home
    if plan.shared is not None:
        other = _of_shared_plan(digits.removeprefix("0"), plan.shared, world)
        if other is not None:
            return other
    for size in plan.idd_sizes:
        if digits[:size] in plan.idd:
            abroad = _fits_abroad(digits[size:], world)
            if abroad is not None:
                return abroad
    return None


def _marked_bare(digits: str, plan: Plan, world: Numbering) -> str | None:
    """Rule 2h under NATIONAL, where digits begin with the region's calling code or as those of a shared plan."""
    if plan.shared is not None:
        other = _of_shared_plan(digits, plan.shared, world)
        if other is not None:
            return other
    abroad = _corrected(digits, world) if digits.startswith(plan.code.digits) else None
    if abroad is not None:
        significant = abroad[1 + plan.code.size :]
        fits = digits.startswith(plan.heads.get(len(digits), _NOTHING))
        assignable = fits and digits.startswith(plan.like_code.get(len(digits), _NOTHING))
        if assignable and not significant.startswith(plan.mobiles.get(len(significant), _NOTHING)):
            return None
    return abroad


def _of_shared_plan(significant: str, shared: SharedPlan, world: Numbering) -> str | None:
    """A national number of a plan over several calling codes."""
    digits = shared.international(significant)
    return None if digits is None else _fits_abroad(digits, world)


def _after_zero(digits: str, plan: Plan, world: Numbering) -> str | None:
    """Rules 2e to 2g: the significant number that a leading 0 begins or stands in front of, or 00 for abroad."""
    own = "+" + plan.code.digits
    double = digits.startswith("00")
    if plan.leading_zero:
        abroad = bool(_abroad_readings(digits, plan))
        heads = plan.bold_heads if abroad else plan.double_zeros if double else plan.within
        if digits.startswith(heads.get(len(digits), _NOTHING)):
            return own + digits
    if not double:
        return own + digits[1:] if digits.startswith(_after_one_zero(digits, plan.within), 1) else None
    found = _corrected(digits[2:], world)
    if found is None and plan.leading_zero and not abroad and digits.startswith(plan.within.get(len(digits), _NOTHING)):
        return own + digits
    return found


def _abroad_readings(digits: str, plan: Plan) -> list[str]:
    """What follows each international prefix that `digits` begin with; no calling code begins with 0."""
    return [digits[size:] for size in plan.idd_sizes if digits[:size] in plan.idd and digits[size : size + 1] != "0"]


def _possible(digits: str, plan: Plan, bare: Bare, world: Numbering) -> str | Unreadable:
    """Rule 3 of the order: the first reading of possible length, or why there is none."""
    bare_digits = digits[0] != "0"
    readings = _abroad_readings(digits, plan)
    if bare_digits and bare == Bare.E164:
        readings.append(digits)
    national_numbers = [digits[len(prefix) :] for prefix in plan.plain if digits.startswith(prefix)]
    if bare_digits and bare == Bare.NATIONAL:
        national_numbers.append(digits)
    readings += [
        plan.code.digits + significant
        for significant in national_numbers
        if len(significant) in plan.lengths and not significant.startswith("0")
    ]
    reason: Unreadable | None = None
    for reading in readings:
        found = _abroad(reading, world)
        if not isinstance(found, Unreadable):
            return found
        reason = reason or found
    if reason is not None:
        return reason
    return _length_reason(national_numbers[0], plan.lengths) if national_numbers else Unreadable.BARE_NUMBER


def _without_region(digits: str, bare: Bare, world: Numbering) -> str | Unreadable:
    """Read what needs no region."""
    if digits[0] == "0" or bare == Bare.NATIONAL:
        return Unreadable.UNKNOWN_REGION
    return _abroad(digits, world) if bare == Bare.E164 else Unreadable.BARE_NUMBER


def _length_reason(significant: str, lengths: frozenset[int]) -> Unreadable:
    """Say what is wrong with a significant number that cannot be one."""
    if len(significant) < min(lengths):
        return Unreadable.TOO_SHORT
    return Unreadable.TOO_LONG if len(significant) > max(lengths) else Unreadable.IMPOSSIBLE
