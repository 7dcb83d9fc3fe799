"""A decision as commands, and what Asterisk makes of them."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign, Direction
from dialplan.kinds.fields import Destination
from dialplan.kinds.parameter import (
    PARAMETER_NAME_MAX_CHARS,
    PARAMETER_NAMES_MAX_CHARS,
    PARAMETER_TEXT_MAX_CHARS,
    PARAMETERS_PER_FLOW,
    Parameter,
    ParameterType,
    ParameterValue,
)
from dialplan.routing.decide import Cache, Decision, Following, Kind
from router.agi import response as answer
from router.agi.response import RouteCommands, cleared_by
from router.config.limits import COMMAND_MAX_BYTES
from tests.fastagi import NEW_MSET_PAIRS, OLD_MSET_PAIRS, executed

MENU = CallFlow("menu", "Menu", Destination("flow-menu", "100", 3), company="acme")
ROUTE = [
    "ROUTE_CONTEXT",
    "ROUTE_EXTEN",
    "ROUTE_PRIORITY",
    "ROUTE_KIND",
    "ROUTE_ID",
    "ROUTE_COMPANY",
    "ROUTE_NUMBER",
    "ROUTE_CALLER",
    "ROUTE_REASON",
    "ROUTE_VERSION",
]
CACHE = ["ROUTE_CACHE", "ROUTE_VALID_UNTIL"]
DIGEST_AND_STATUS = ["ROUTE_DIGEST", "ROUTE_STATUS"]
CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)])) + "\u2028\u2029"
TEXTS = st.text(
    st.sampled_from('\\",()[]=${}; 😀é') | st.characters(exclude_characters=CONTROLS, exclude_categories=["Cs"]),
    max_size=PARAMETER_TEXT_MAX_CHARS,
)


def decision(target: CallFlow | Campaign | None = MENU, **fields: Any) -> Decision:
    values: dict[str, Any] = {
        "reason": "assigned",
        "kind": Kind.CALL_FLOW,
        "destination": target.destination if target is not None else Destination("ringway-default"),
        "target": target,
        "values": (),
        "company": "acme",
        "number": "+442079460000",
        "caller": "+447700900123",
        "version": 17,
    }
    return Decision(**(values | fields))


def text_flow(values: dict[str, str]) -> tuple[CallFlow, tuple[tuple[str, ParameterValue], ...]]:
    """A flow with text parameters of these names, and the values that a number gives to them."""
    parameters = tuple(Parameter(name, ParameterType.TEXT) for name in values)
    flow = CallFlow("f" * 64, "Flow", Destination("c" * 79, "e" * 79, 10_000), parameters=parameters)
    return flow, tuple(values.items())


def commands(made: Decision, *, with_names: bool = False, answers: RouteCommands | None = None) -> list[bytes]:
    ahead, last = (answers or RouteCommands()).of(made, with_names=with_names)
    return [*ahead, last]


def variables(made: Decision, *, with_names: bool = False, answers: RouteCommands | None = None) -> dict[str, str]:
    """All that Asterisk sets, each name once."""
    pairs = [pair for line in commands(made, with_names=with_names, answers=answers) for pair in executed(line)]
    assert len(dict(pairs)) == len(pairs), "a name is set twice"
    return dict(pairs)


def test_an_answer_is_one_command_with_the_contracts_variables_in_its_order() -> None:
    (line,) = commands(decision())
    assert executed(line) == [
        ("ROUTE_CONTEXT", "flow-menu"),
        ("ROUTE_EXTEN", "100"),
        ("ROUTE_PRIORITY", "3"),
        ("ROUTE_KIND", "call-flow"),
        ("ROUTE_ID", "menu"),
        ("ROUTE_COMPANY", "acme"),
        ("ROUTE_NUMBER", "+442079460000"),
        ("ROUTE_CALLER", "+447700900123"),
        ("ROUTE_REASON", "assigned"),
        ("ROUTE_VERSION", "17"),
        ("ROUTE_CACHE", "no"),
        ("ROUTE_VALID_UNTIL", ""),
        ("ROUTE_STATUS", "OK"),
    ]


def test_a_parameterless_answer_is_to_the_letter() -> None:
    (line,) = commands(decision(caller=""))
    assert line == (
        b'EXEC MSet "ROUTE_CONTEXT=flow-menu,ROUTE_EXTEN=100,ROUTE_PRIORITY=3,ROUTE_KIND=call-flow,ROUTE_ID=menu,'
        b"ROUTE_COMPANY=acme,ROUTE_NUMBER=+442079460000,ROUTE_CALLER=,ROUTE_REASON=assigned,ROUTE_VERSION=17,"
        b'ROUTE_CACHE=no,ROUTE_VALID_UNTIL=,ROUTE_STATUS=OK"\n'
    )


def test_parameters_stand_between_the_version_and_the_status_in_the_flows_order() -> None:
    flow, values = text_flow({"ZULU": "z", "ALPHA": "a"})
    (line,) = commands(decision(flow, values=tuple(reversed(values))))
    assert [name for name, _ in executed(line)] == [*ROUTE, "PARAM_ZULU", "PARAM_ALPHA", *CACHE, "ROUTE_STATUS"]


def test_a_parameter_has_its_value_else_its_default_else_nothing() -> None:
    flow = CallFlow(
        "queue",
        "Queue",
        Destination("flow-queue"),
        parameters=(
            Parameter("GIVEN", ParameterType.TEXT, default="default"),
            Parameter("DEFAULT", ParameterType.INTEGER, default=20),
            Parameter("EMPTY", ParameterType.NUMBER),
            Parameter("YES", ParameterType.BOOLEAN, default=True),
            Parameter("NO", ParameterType.BOOLEAN),
        ),
    )
    said = variables(decision(flow, values=(("GIVEN", "value"), ("NO", False))))
    assert {name: value for name, value in said.items() if name.startswith("PARAM_")} == {
        "PARAM_GIVEN": "value",
        "PARAM_DEFAULT": "20",
        "PARAM_EMPTY": "",
        "PARAM_YES": "1",
        "PARAM_NO": "0",
    }


def test_a_campaign_has_no_parameters() -> None:
    campaign = Campaign("offer", "acme", "Offer", Direction.INBOUND, Destination("campaign-offer"))
    said = variables(decision(campaign, kind=Kind.CAMPAIGN))
    assert list(said) == [*ROUTE, *CACHE, "ROUTE_STATUS"]
    assert (said["ROUTE_KIND"], said["ROUTE_ID"]) == ("campaign", "offer")


def test_the_platforms_default_has_no_id() -> None:
    said = variables(decision(None, kind=Kind.DEFAULT, reason="bad-number", company="", number="", caller=""))
    assert said == {
        "ROUTE_CONTEXT": "ringway-default",
        "ROUTE_EXTEN": "s",
        "ROUTE_PRIORITY": "1",
        "ROUTE_KIND": "default",
        "ROUTE_ID": "",
        "ROUTE_COMPANY": "",
        "ROUTE_NUMBER": "",
        "ROUTE_CALLER": "",
        "ROUTE_REASON": "bad-number",
        "ROUTE_VERSION": "17",
        "ROUTE_CACHE": "no",
        "ROUTE_VALID_UNTIL": "",
        "ROUTE_STATUS": "OK",
    }


def test_the_names_of_the_parameters_are_told_where_they_are_asked_for() -> None:
    flow, values = text_flow({"ZULU": "z", "ALPHA": "", "MIKE": "m"})
    plain = variables(decision(flow, values=values))
    named = variables(decision(flow, values=values), with_names=True)
    assert named["ROUTE_PARAMS"] == "ZULU:ALPHA:MIKE"
    assert {name: named[name] for name in plain} == plain
    assert "ROUTE_PARAMS" not in plain
    parameters = ["PARAM_ZULU", "PARAM_ALPHA", "PARAM_MIKE"]
    assert list(named) == [*ROUTE, "ROUTE_PARAMS", *parameters, *CACHE, *DIGEST_AND_STATUS]
    assert variables(decision(), with_names=True)["ROUTE_PARAMS"] == ""


def test_plain_and_named_answers_of_one_decision_do_not_mix() -> None:
    answers = RouteCommands()
    flow, values = text_flow({"A": "1"})
    for with_names in (True, False, True, False):
        said = variables(decision(flow, values=values), with_names=with_names, answers=answers)
        assert ("ROUTE_PARAMS" in said) is with_names


@pytest.mark.parametrize("places", [OLD_MSET_PAIRS, NEW_MSET_PAIRS])
@pytest.mark.parametrize("with_names", [False, True])
@pytest.mark.parametrize("count", [*range(10, 16), 22, 23, 24, 25, 36, 37, 38, 59, 60, PARAMETERS_PER_FLOW])
@pytest.mark.parametrize("text", ["", 'a,b"c\\d', "x" * 90])
def test_more_parameters_than_fit_go_ahead_and_all_arrive_once(
    count: int, text: str, with_names: bool, places: int
) -> None:
    flow, values = text_flow({f"P{place}": f"{text}{place}" for place in range(count)})
    lines = commands(decision(flow, values=values), with_names=with_names)
    pairs = [pair for line in lines for pair in executed(line, places)]
    assert len(pairs) == len(dict(pairs))
    assert {name: value for name, value in pairs if name.startswith("PARAM_")} == {
        f"PARAM_{name}": value for name, value in values
    }
    assert pairs[-1] == ("ROUTE_STATUS", "OK")
    assert [name for name, _ in executed(lines[-1], places)][: len(ROUTE)] == ROUTE
    ahead = [name for line in lines[:-1] for name, _ in executed(line, places)]
    if with_names:  # whoever gets only a part of the answer knows then what to forget
        assert "ROUTE_PARAMS" in dict(executed(lines[0], places))
        assert not ahead or ahead.pop(0) == "ROUTE_PARAMS"
    assert all(name.startswith("PARAM_") for name in ahead)


def test_eleven_short_parameters_still_go_in_one_command_and_twelve_do_not() -> None:
    for count, lines in ((11, 1), (12, 2)):
        flow, values = text_flow({f"P{place}": "x" for place in range(count)})
        assert len(commands(decision(flow, values=values))) == lines


@pytest.mark.parametrize("over", [0, 1])
def test_one_command_is_filled_up_to_what_the_longest_call_needs(over: int) -> None:
    longest = {"number": "+" + "9" * 15, "caller": "+" + "9" * 15, "reason": "r" * 32, "version": 10**19}
    flow, values = text_flow({"A": ""})
    (line,) = commands(decision(flow, values=values, **longest))
    text = "x" * (COMMAND_MAX_BYTES - len(line) - 1 + over)  # its last comma is counted
    assert len(commands(decision(flow, values=(("A", text),), **longest))) == 1 + over


NAMES = st.text(string.ascii_uppercase + "_", min_size=1, max_size=PARAMETER_NAME_MAX_CHARS).map(
    lambda name: f"X{name}"[:PARAMETER_NAME_MAX_CHARS]
)


@given(
    values=st.dictionaries(NAMES, TEXTS, max_size=PARAMETERS_PER_FLOW).filter(
        lambda values: sum(len(name) + 1 for name in values) <= PARAMETER_NAMES_MAX_CHARS
    ),
    with_names=st.booleans(),
    places=st.sampled_from([OLD_MSET_PAIRS, NEW_MSET_PAIRS]),
)
def test_every_flow_that_the_data_may_hold_arrives_whole(values: dict[str, str], with_names: bool, places: int) -> None:
    flow, given_values = text_flow(values)
    made = decision(flow, values=given_values, company="c" * 64, version=2**63 - 1, number="+" + "1" * 15)
    lines = commands(made, with_names=with_names)
    pairs = [pair for line in lines for pair in executed(line, places)]
    assert len(pairs) == len(dict(pairs))
    assert pairs[-1] == ("ROUTE_STATUS", "OK")
    assert {name: value for name, value in pairs if name.startswith("PARAM_")} == {
        f"PARAM_{name}": value for name, value in values.items()
    }
    assert dict(pairs)["ROUTE_VERSION"] == str(2**63 - 1)
    assert dict(pairs).get("ROUTE_PARAMS") == (":".join(values) if with_names else None)


@pytest.mark.parametrize("char", ["x", "\\", '"', ",", "😀", "€"])
def test_the_largest_flow_that_the_data_may_hold_fits(char: str) -> None:
    size = PARAMETER_NAMES_MAX_CHARS // PARAMETERS_PER_FLOW - 1
    names = [f"N{place:03}".ljust(size, "X") for place in range(PARAMETERS_PER_FLOW)]
    flow, values = text_flow(dict.fromkeys(names, char * PARAMETER_TEXT_MAX_CHARS))
    said = variables(
        decision(
            flow,
            values=values,
            company="c" * 64,
            reason="no-destination",
            kind=Kind.CALL_FLOW,
            number="+" + "9" * 15,
            caller="+" + "9" * 15,
            version=2**63 - 1,
        ),
        with_names=True,
    )
    assert said["ROUTE_PARAMS"] == ":".join(names)
    assert said[f"PARAM_{names[-1]}"] == char * PARAMETER_TEXT_MAX_CHARS


def test_what_is_kept_never_outlives_what_it_was_made_from() -> None:
    """An answer follows the flow's new form, the number's new values and the company, whatever was asked before."""
    answers = RouteCommands()
    seen = []
    for place in range(300):
        flow = CallFlow("menu", "Menu", Destination(f"flow-{place}"), parameters=(Parameter("A", ParameterType.TEXT),))
        for value in ("one", "two"):
            said = variables(decision(flow, values=(("A", value),), company=f"c{place}"), answers=answers)
            seen.append((said["ROUTE_CONTEXT"], said["PARAM_A"], said["ROUTE_COMPANY"]))
    expected = [(f"flow-{place}", value, f"c{place}") for place in range(300) for value in ("one", "two")]
    assert seen == expected


def test_one_flow_answers_for_each_company_kind_and_set_of_values_apart() -> None:
    answers = RouteCommands()
    flow, _ = text_flow({"A": ""})
    for _ in range(2):
        for company in ("acme", "globex"):
            for kind in (Kind.CALL_FLOW, Kind.DEFAULT):
                for text in ("x", "y"):
                    made = decision(flow, company=company, kind=kind, values=(("A", text),))
                    said = variables(made, answers=answers)
                    assert (said["ROUTE_COMPANY"], said["ROUTE_KIND"], said["PARAM_A"]) == (company, kind, text)


def test_a_call_has_its_own_numbers_reason_and_version() -> None:
    answers = RouteCommands()
    first = variables(decision(), answers=answers)
    second = variables(decision(number="+442079460001", caller="", reason="scheduled", version=18), answers=answers)
    assert {name for name in first if first[name] != second[name]} == {
        "ROUTE_NUMBER",
        "ROUTE_CALLER",
        "ROUTE_REASON",
        "ROUTE_VERSION",
    }


def test_only_so_many_prepared_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "RESPONSE_CACHE_MAX_BYTES", 10_000)
    answers, most = RouteCommands(), 0
    for place in range(100):
        flow, values = text_flow({"A": str(place)})
        assert variables(decision(flow, values=values), answers=answers)["PARAM_A"] == str(place)
        most = max(most, len(answers._prepared))
        assert sum(each.size() for each in answers._prepared.values()) <= 10_000
    assert 5 <= most <= 20


def test_as_many_prepared_answers_are_kept_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that the oldest one goes, and no more of them: all at once would hold up calls."""
    answers = RouteCommands()
    flow, _ = text_flow({"A": ""})
    variables(decision(flow, values=(("A", "0"),)), answers=answers)
    (first,) = answers._prepared.values()
    monkeypatch.setattr(answer, "RESPONSE_CACHE_MAX_BYTES", 3 * first.size())
    kept = []
    for text in "123456":
        for _ in range(2):  # the second time it is there already
            variables(decision(flow, values=(("A", text),)), answers=answers)
        kept.append(len(answers._prepared))
    assert kept == [2, 3, 3, 3, 3, 3]
    assert [key.values for key in answers._prepared] == [("A", text) for text in "456"]


def test_a_prepared_answer_counts_with_all_its_text() -> None:
    answers = RouteCommands()
    flow, values = text_flow({f"P{place}": "x" * 900 for place in range(6)})
    lines = commands(decision(flow, values=values, company="c" * 64), answers=answers)
    assert len(lines) > 2
    (kept,) = answers._prepared.values()
    assert sum(map(len, lines)) <= kept.size() <= sum(map(len, lines)) + 1_000


def test_an_answer_larger_than_the_cache_is_given_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "RESPONSE_CACHE_MAX_BYTES", 10)
    answers = RouteCommands()
    for _ in range(2):
        assert variables(decision(), answers=answers) == variables(decision())
        assert len(answers._prepared) == 1


class TestWhatFollows:
    """Until when an answer holds, and what takes its place then, for the time in which no router answers."""

    def following(self, row: CallFlow | Campaign | None = MENU, **fields: Any) -> Following:
        values: dict[str, Any] = {"kind": Kind.CALL_FLOW, "values": (), "until": None}
        values["destination"] = row.destination if row is not None else Destination("ringway-default")
        return Following(**(values | {"row": row} | fields))

    def test_an_answer_without_an_end_names_nothing_that_follows(self) -> None:
        said = variables(decision(cache=Cache.KEEP), with_names=True)
        assert (said["ROUTE_CACHE"], said["ROUTE_VALID_UNTIL"]) == ("keep", "")
        assert not [name for name in said if "NEXT" in name]

    def test_an_end_far_ahead_is_named_alone(self) -> None:
        said = variables(decision(cache=Cache.KEEP, until=1_800_000_000))
        assert said["ROUTE_VALID_UNTIL"] == "1800000000"
        assert not [name for name in said if "NEXT" in name]

    def test_what_follows_goes_along_with_its_parameters(self) -> None:
        night, values = text_flow({"GREETING": "Good, night", "EMPTY": ""})
        after = self.following(night, values=values, until=1_800_086_400)
        made = decision(cache=Cache.KEEP, until=1_800_000_000, following=after)
        said = variables(made, with_names=True)
        assert {name: value for name, value in said.items() if "NEXT" in name} == {
            "ROUTE_NEXT_CONTEXT": night.destination.context,
            "ROUTE_NEXT_EXTEN": night.destination.exten,
            "ROUTE_NEXT_PRIORITY": "10000",
            "ROUTE_NEXT_KIND": "call-flow",
            "ROUTE_NEXT_ID": night.id,
            "ROUTE_NEXT_VALID_UNTIL": "1800086400",
            "ROUTE_NEXT_PARAMS": "GREETING:EMPTY",
            "NEXT_PARAM_GREETING": "Good, night",
            "NEXT_PARAM_EMPTY": "",
        }
        plain = variables(made)
        assert plain == {name: value for name, value in said.items() if not name.endswith(("_PARAMS", "_DIGEST"))}

    def test_the_platforms_default_may_follow(self) -> None:
        said = variables(decision(until=1_800_000_000, following=self.following(None, kind=Kind.DEFAULT)))
        assert (said["ROUTE_NEXT_CONTEXT"], said["ROUTE_NEXT_KIND"], said["ROUTE_NEXT_ID"]) == (
            *("ringway-default", "default"),
            "",
        )

    @pytest.mark.parametrize("places", [OLD_MSET_PAIRS, NEW_MSET_PAIRS])
    @pytest.mark.parametrize("count", [0, 1, 5, 11, 23, 24, PARAMETERS_PER_FLOW])
    def test_two_flows_of_any_size_arrive_whole_and_their_names_come_first(self, count: int, places: int) -> None:
        flow, values = text_flow({f"P{place}": f"now {place}" for place in range(count)})
        night, later = text_flow({f"P{place}": f"then {place}" for place in range(count)})
        after = self.following(night, values=later)
        lines = commands(decision(flow, values=values, until=1_800_000_000, following=after), with_names=True)
        pairs = [pair for line in lines for pair in executed(line, places)]
        assert len(pairs) == len(dict(pairs))
        assert pairs[-1] == ("ROUTE_STATUS", "OK")
        said = dict(pairs)
        assert [said[f"PARAM_P{place}"] for place in range(count)] == [f"now {place}" for place in range(count)]
        assert [said[f"NEXT_PARAM_P{place}"] for place in range(count)] == [f"then {place}" for place in range(count)]
        assert {"ROUTE_PARAMS", "ROUTE_NEXT_PARAMS"} <= dict(executed(lines[0], places)).keys()

    def test_prepared_answers_with_another_end_or_another_follower_do_not_mix(self) -> None:
        answers = RouteCommands()
        night, one = text_flow({"A": "1"})
        two = (("A", "2"),)
        for _ in range(2):
            for until in (1_800_000_000, 1_800_000_060):
                for values in (one, two):
                    for end in (None, 1_800_000_120):
                        after = self.following(night, values=values, until=end)
                        said = variables(decision(until=until, following=after), answers=answers)
                        assert said["ROUTE_VALID_UNTIL"] == str(until)
                        assert said["NEXT_PARAM_A"] == values[0][1]
                        assert said["ROUTE_NEXT_VALID_UNTIL"] == str(end or "")

    def test_one_that_is_to_be_kept_and_one_that_is_not_do_not_mix(self) -> None:
        answers = RouteCommands()
        for _ in range(2):
            for cache in Cache:
                assert variables(decision(cache=cache), answers=answers)["ROUTE_CACHE"] == cache

    def test_a_router_without_data_says_so_in_the_status_and_no_other_answer_does(self) -> None:
        answers = RouteCommands()
        nowhere: dict[str, Any] = {"kind": Kind.DEFAULT, "company": "", "version": 0}
        for _ in range(2):
            assert variables(decision(None, reason="no-data", **nowhere), answers=answers)["ROUTE_STATUS"] == "NODATA"
            assert variables(decision(None, reason="bad-number", **nowhere), answers=answers)["ROUTE_STATUS"] == "OK"

    def test_when_it_is_revoked_nothing_of_it_is_left(self) -> None:
        flow, values = text_flow({"A": "1"})
        night, later = text_flow({"B": "2"})
        made = decision(flow, values=values, until=1_800_000_000, following=self.following(night, values=later))
        emptied = dict(pair for line in cleared_by(made) for pair in executed(line))
        assert set(emptied.values()) == {""}
        assert next(iter(emptied)) == "ROUTE_STATUS"  # nothing of it is trusted any more, if the rest does not arrive
        untouched = {*ROUTE, *CACHE}  # the fallback response sets these anew
        assert emptied.keys() == variables(made, with_names=True).keys() - untouched

    def test_what_is_kept_never_outlives_what_follows(self) -> None:
        answers, seen = RouteCommands(), []
        for place in range(300):
            night = CallFlow(f"night-{place}", "Night", MENU.destination)
            said = variables(decision(until=1_800_000_000, following=self.following(night)), answers=answers)
            seen.append(said["ROUTE_NEXT_ID"])
        assert seen == [f"night-{place}" for place in range(300)]

    @pytest.mark.parametrize(
        "target", [None, Campaign("offer", "acme", "Offer", Direction.INBOUND, Destination("campaign-offer"))]
    )
    def test_an_answer_without_a_flow_is_revoked_too(self, target: Campaign | None) -> None:
        made = decision(target, until=1_800_000_000, following=self.following(target))
        emptied = [name for line in cleared_by(made) for name, _ in executed(line)]
        following = [name for name in variables(made, with_names=True) if name.startswith("ROUTE_NEXT_")]
        assert len(following) == 7
        assert sorted(emptied) == sorted(["ROUTE_STATUS", "ROUTE_PARAMS", "ROUTE_DIGEST", *following])


class TestDigest:
    """ROUTE_DIGEST: the same for two answers that send calls the same way, so that a dialplan need not keep anew."""

    def digest(self, made: Decision) -> str:
        return variables(made, with_names=True)["ROUTE_DIGEST"]

    def test_the_call_and_the_tables_version_do_not_change_it(self) -> None:
        usual = self.digest(decision())
        assert usual
        assert self.digest(decision(number="+442079460001", caller="", version=99)) == usual
        assert self.digest(decision(CallFlow("menu", "Renamed", MENU.destination, company="acme"))) == usual

    def test_a_destination_another_flow_or_another_value_changes_it(self) -> None:
        flow, values = text_flow({"A": "1", "B": "2"})
        other, _ = text_flow({"B": "1", "A": "2"})
        made = [
            decision(),
            decision(CallFlow("other", "Menu", MENU.destination, company="acme")),
            decision(CallFlow("menu", "Menu", Destination("flow-menu", "101", 3), company="acme")),
            decision(company="globex"),
            decision(flow, values=values),
            decision(flow, values=(("A", "1"), ("B", "3"))),
            decision(other, values=(("B", "1"), ("A", "2"))),
            decision(until=1_800_000_000),
            decision(until=1_800_000_060),
            decision(until=1_800_000_000, following=self.menu_next()),
            decision(until=1_800_000_000, following=self.menu_next(until=1_800_000_060)),
            decision(until=1_800_000_000, following=self.menu_next(destination=Destination("flow-menu", "100", 4))),
            decision(until=1_800_000_000, following=self.menu_next(flow, values)),
            decision(until=1_800_000_000, following=self.menu_next(flow, (("A", "1"), ("B", "3")))),
        ]
        assert len({self.digest(each) for each in made}) == len(made)

    def menu_next(
        self, row: CallFlow = MENU, values: tuple[tuple[str, ParameterValue], ...] = (), **fields: Any
    ) -> Following:
        usual: dict[str, Any] = {"kind": Kind.CALL_FLOW, "destination": row.destination, "until": None}
        return Following(**(usual | {"row": row, "values": values} | fields))

    def test_it_is_the_same_in_another_process(self) -> None:
        assert (
            self.digest(decision()) == variables(decision(), with_names=True, answers=RouteCommands())["ROUTE_DIGEST"]
        )
        assert self.digest(decision()).isalnum()
        assert len(self.digest(decision())) == 16

    def test_plain_answers_have_none(self) -> None:
        assert "ROUTE_DIGEST" not in variables(decision())
