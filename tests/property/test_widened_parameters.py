"""Declarations that take values as before, against the values themselves."""

from collections.abc import Mapping

from hypothesis import assume, given
from hypothesis import strategies as st

from dialplan.dataset.parameters import check_declaration, read_values, takes_as_before
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.fields import Destination
from dialplan.kinds.parameter import Parameter, ParameterType, ParameterValue
from dialplan.numbering.line_types import CalledLine

limits = st.none() | st.integers(0, 3)
texts = st.sampled_from(("", "a", "bb", "1", "true", "+442079460000", "+449098790000", "+12025550143"))
values = texts | st.integers(-1, 4) | st.booleans()
parameters = st.builds(
    Parameter,
    name=st.sampled_from(("P", "Q")),
    type=st.sampled_from(ParameterType),
    default=st.none() | values,
    required=st.booleans(),
    max_length=limits,
    minimum=limits,
    maximum=limits,
    choices=st.lists(texts, max_size=3).map(tuple),
    countries=st.sampled_from(((), (), ("GB",), ("US", "GB"))),
    line_types=st.sampled_from(((), (), (CalledLine.LANDLINE,), (CalledLine.PREMIUM_RATE, CalledLine.LANDLINE))),
).filter(lambda each: not [*check_declaration(each, "GB")])
declarations = st.lists(parameters, max_size=2, unique_by=lambda each: each.name).map(tuple)


@given(declarations, declarations, st.dictionaries(st.sampled_from(("P", "Q")), values))
def test_values_that_were_good_are_good_and_the_same(
    before: tuple[Parameter, ...], after: tuple[Parameter, ...], given_values: Mapping[str, ParameterValue]
) -> None:
    good, faults = read_values(CallFlow("menu", "Menu", Destination("menu"), parameters=before), given_values, "GB")
    assume(not faults and takes_as_before(before, after))
    flow = CallFlow("menu", "Menu", Destination("menu"), parameters=after)
    assert read_values(flow, good, "GB") == (good, [])
