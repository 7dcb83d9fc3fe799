from router.observe.readiness import Readiness


def test_a_router_is_ready_when_no_reason_holds_and_else_says_the_first_one() -> None:
    reasons = {"draining": False, "no table": False}
    readiness = Readiness(lambda: "draining" if reasons["draining"] else "")
    readiness.add(lambda: "no table" if reasons["no table"] else "")
    assert readiness.why_not() == ""
    reasons["no table"] = True
    assert readiness.why_not() == "no table"
    reasons["draining"] = True
    assert readiness.why_not() == "draining"


def test_without_a_reason_it_is_ready() -> None:
    assert Readiness().why_not() == ""
