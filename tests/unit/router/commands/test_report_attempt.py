import socket
import threading
import time
from collections.abc import Iterator

import pytest

from dialplan.campaigns.reports import read_report
from router.agi.messages import parse_environment
from router.commands.report_attempt import OUTCOMES
from tests.unit.router.commands.conftest import Run

WHAT = ("win-back", "07700 900456", "02079460002")


class Router:
    """Somebody on a port who answers one report with `status`, and keeps what was asked."""

    def __init__(self) -> None:
        self.status = b"OK"
        self.asked = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        with self._listening:
            connection, _ = self._listening.accept()
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                if line == b"\n":
                    break
                self.asked += line
            if self.status:
                connection.sendall(b'EXEC MSet "ATTEMPT_STATUS=' + self.status + b'"\n')
                lines.readline()

    def end(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()

    @property
    def arguments(self) -> tuple[str, ...]:
        return parse_environment(self.asked.removesuffix(b"\n")).arguments


@pytest.fixture
def router() -> Iterator[Router]:
    running = Router()
    yield running
    running.end()


def test_what_is_reported_is_what_the_dialplan_would_say(run: Run, router: Router) -> None:
    before = time.time()
    done = run("report-attempt", *WHAT, "--agi", router.address)
    router.end()
    report = read_report(router.arguments)
    assert report is not None
    assert (report.campaign, report.subscriber, report.number, report.outcome) == (*WHAT, "missed")
    assert before - 0.001 <= report.at <= time.time()
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        f"the router at {router.address} acknowledged it as attempt {report.id}\n"
        "one that it cannot use is logged as attempt_ignored; `ringway attempts` lists what is written down\n"
    )


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        ("NOANSWER", "missed"),
        ("noanswer", "missed"),
        ("BUSY", "missed"),
        ("CANCEL", "missed"),
        ("ANSWER", "answered"),
        ("CONGESTION", "failed"),
        ("CHANUNAVAIL", "failed"),
    ],
)
def test_each_outcome_comes_with_what_makes_it_believable(run: Run, router: Router, outcome: str, verdict: str) -> None:
    assert run("report-attempt", *WHAT, "--outcome", outcome, "--agi", router.address).status == 0
    router.end()
    report = read_report(router.arguments)
    assert report is not None
    assert report.outcome == verdict
    assert router.arguments[4] == outcome.upper()


def test_every_outcome_that_can_be_given_has_its_verdict() -> None:
    assert set(OUTCOMES) == {"NOANSWER", "BUSY", "CANCEL", "ANSWER", "CONGESTION", "CHANUNAVAIL"}


def test_each_report_is_an_attempt_of_its_own(run: Run) -> None:
    names = set[str]()
    for _ in range(3):
        router = Router()
        found = run("report-attempt", *WHAT, "--agi", router.address, "--json").json()
        router.end()
        assert router.arguments[0] == found["id"]
        names.add(found["id"])
    assert len(names) == 3


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (b"LATER", "cannot write the attempt down now; report it again in a moment"),
        (b"REFUSED", "cannot read the report; it may be of another version"),
        (b"", "gave no answer: the connection was closed without a word about the attempt"),
        (b"MAYBE", "gave no answer: the connection was closed without a word about the attempt"),
    ],
)
def test_a_report_that_is_not_taken_is_status_1_and_one_line(
    run: Run, router: Router, status: bytes, said: str
) -> None:
    router.status = status
    done = run("report-attempt", *WHAT, "--agi", router.address)
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith(f"ringway: the router at {router.address} ")
    assert said in done.err


@pytest.mark.parametrize(("status", "code"), [("OK", 0), ("LATER", 1), ("REFUSED", 1)])
def test_json_says_what_was_reported_and_what_became_of_it(run: Run, router: Router, status: str, code: int) -> None:
    router.status = status.encode()
    done = run("report-attempt", *WHAT, "--outcome", "busy", "--agi", router.address, "--json")
    found = done.json()
    assert done.status == code
    assert found.pop("id").startswith("report-")
    assert found == {
        "status": status,
        "campaign": "win-back",
        "subscriber": "07700 900456",
        "number": "02079460002",
        "outcome": "BUSY",
    }


def test_nobody_there_is_one_line_with_where_it_looked(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    done = run("report-attempt", *WHAT, "--agi", f"127.0.0.1:{port}")
    where = f"ringway: the router at 127.0.0.1:{port} gave no answer"
    assert done == (1, "", f"{where}: Connection refused; is `ringway serve` running?\n")


def test_text_that_no_line_can_hold_is_said_and_not_sent(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        done = run("report-attempt", "win\nback", *WHAT[1:], "--agi", address)
    assert done == (1, "", 'ringway: "win\\nback" cannot be sent over AGI; leave out line feeds and NUL\n')
