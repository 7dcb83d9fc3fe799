"""What a real `ringway serve` counts: the metrics page, while calls go on and whatever strangers send."""

import contextlib
import pathlib
import threading
import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.serving import DID, FLOW, HOSTILE, connect, raw_call, refuses
from tests.processes import PATIENCE_SECONDS, running_router, wait_until

# The public names, without those of links that this version does not have; what was lost, and full reads.
NAMES = {
    "ringway_decisions",
    "ringway_decision_seconds",
    "ringway_agi_connections",
    "ringway_agi_empty",
    "ringway_agi_rejected",
    "ringway_agi_seconds",
    "ringway_table_numbers",
    "ringway_table_version",
    "ringway_table_age_seconds",
    "ringway_table_digest",
    "ringway_table_full_reads",
    "ringway_table_rows_left_out",
    "ringway_table_rows_read_in_part",
    "ringway_store_up",
    "ringway_store_unfit",
    "ringway_ready",
    "ringway_attempts",
    "ringway_attempts_dropped",
    "ringway_attempts_full_reads",
    "ringway_attempts_pending",
    "ringway_callbacks",
    "ringway_ami_connected",
    "ringway_ami_hearing",
    "ringway_log_lines_dropped",
}


def test_the_metrics_page_has_the_public_names_while_calls_go_on(tmp_path: pathlib.Path) -> None:
    calls = 300
    pages: list[str] = []
    done = threading.Event()
    with running_router(tmp_path) as router:

        def scrape() -> None:
            while not done.is_set():
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{router.metrics_port}/metrics", timeout=PATIENCE_SECONDS
                ) as answer:
                    assert answer.headers["Content-Type"].startswith("text/plain")
                    pages.append(answer.read().decode())

        scrapers = [threading.Thread(target=scrape) for _ in range(3)]
        for scraper in scrapers:
            scraper.start()
        try:
            for index in range(calls):
                assert router.ask((DID, "0000", "99", "02079460003")[index % 4])["ROUTE_STATUS"] == "OK"
        finally:
            done.set()
            for scraper in scrapers:
                scraper.join(PATIENCE_SECONDS)
        assert pages
        for page in pages:
            families = [each for each in text_string_to_metric_families(page) if each.name.startswith("ringway_")]
            assert {family.name for family in families} == NAMES
            assert all(family.documentation and family.type != "unknown" for family in families)
        wait_until(lambda: _decided(router.metrics()) == calls, "all calls are counted")
        counted = router.metrics()
        assert counted['ringway_decisions_total{kind="call-flow",reason="assigned"}'] == calls / 4
        assert counted['ringway_decisions_total{kind="default",reason="disabled"}'] == calls / 4
        assert counted["ringway_decision_seconds_count"] == calls
        assert counted["ringway_agi_connections"] == 0
        assert counted["ringway_table_numbers"] == 6
        assert counted["ringway_table_version"] == 1
        assert counted['ringway_store_up{store="sqlite"}'] == 1
        assert counted["ringway_table_age_seconds"] < 60
        assert not {name: value for name, value in counted.items() if "rejected" in name and value}


def _decided(counted: Mapping[str, float]) -> float:
    return sum(value for name, value in counted.items() if name.startswith("ringway_decisions_total"))


def test_nothing_that_a_stranger_sends_becomes_a_label(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path) as router:
        before = set(router.metrics())
        for index, text in enumerate(HOSTILE):
            raw_call(router.agi_port, text, text, f"h.{index}")
            with connect(router.agi_port) as sock:
                sock.sendall(text + b"\n\n")
                with contextlib.suppress(ConnectionError):
                    sock.recv(100)
        wait_until(lambda: _decided(router.metrics()) == len(HOSTILE), "all calls are counted")
        grown = {name for name in set(router.metrics()) - before if name.startswith("ringway_")}
        assert grown == set()


def test_without_a_metrics_port_there_is_no_page_and_calls_are_answered(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path, settings={"metrics": {"port": 0}}) as router:
        assert router.events("ready")[0]["metrics"] == "off"
        assert router.ask(DID)["ROUTE_CONTEXT"] == FLOW
        assert refuses(router.metrics_port)
