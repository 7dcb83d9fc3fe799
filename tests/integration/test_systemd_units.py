"""The shipped systemd units, by systemd's own judgement."""

import pathlib
import re
import subprocess
import tomllib

from tests.tools import needed

_UNITS = pathlib.Path(__file__).parents[2] / "deploy" / "systemd"


def test_the_units_pass_systemds_check() -> None:
    names = [str(path) for path in sorted(_UNITS.iterdir())]
    assert len(names) == 2
    done = subprocess.run([needed("systemd-analyze"), "verify", *names], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_is_exposed_less_than_two_and_a_half() -> None:
    done = subprocess.run(
        [needed("systemd-analyze"), "security", "--offline=true", "--no-pager", str(_UNITS / "ringway.service")],
        capture_output=True,
        text=True,
        check=True,
    )
    level = re.search(r"Overall exposure level for ringway\.service: ([0-9.]+)", done.stdout)
    assert level is not None, done.stdout
    assert float(level[1]) < 2.5


def test_the_service_never_gives_up_to_restart() -> None:
    """By itself systemd leaves a service down for good after five quick failures."""
    assert "\nStartLimitIntervalSec=0\n" in (_UNITS / "ringway.service").read_text()


def test_the_socket_listens_where_the_default_configuration_does() -> None:
    agi = tomllib.loads((_UNITS.parents[1] / "config" / "ringway.toml").read_text())["agi"]
    assert f"ListenStream={agi['host']}:{agi['port']}\n" in (_UNITS / "ringway.socket").read_text()
