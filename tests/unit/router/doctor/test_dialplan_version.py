import hashlib
import pathlib
import re

import pytest

from router.doctor.dialplan_version import DIALPLAN_VERSION, GLOBAL, LOADED, loaded
from router.doctor.findings import State

FILE = pathlib.Path(__file__).parents[4] / "deploy" / "asterisk" / "extensions_ringway.conf"
# Of what the file does at each version: its lines without comments and without the version's own.
DIGESTS = {1: "6a58cdb32ac852541c485e79bcdc06b2d37dc5e5acd18cba58b629d5d67b880f"}


def done_by(text: str) -> str:
    """What the file makes Asterisk do: comments and blank lines do not count, nor does the version."""
    lines = (line.strip() for line in text.splitlines())
    kept = [line for line in lines if line and not line.startswith((";", GLOBAL))]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()


def test_the_file_says_the_version_that_doctor_expects() -> None:
    assert re.findall(rf"^{GLOBAL} = (.*)$", FILE.read_text(), re.MULTILINE) == [str(DIALPLAN_VERSION)]


def test_a_change_of_the_file_has_a_version_of_its_own() -> None:
    assert done_by(FILE.read_text()) == DIGESTS[DIALPLAN_VERSION], (
        f"the file was changed: give it the next {GLOBAL}, here and in router/doctor/dialplan_version.py, "
        "unless the last one was never released; then write the digest here"
    )


def test_the_global_that_tells_that_it_is_loaded_is_the_files_own() -> None:
    assert f"\n{LOADED} = " in FILE.read_text()


@pytest.mark.parametrize(
    ("values", "state", "said"),
    [
        ({GLOBAL: str(DIALPLAN_VERSION), LOADED: "5"}, State.OK, f"version {DIALPLAN_VERSION}"),
        ({GLOBAL: "", LOADED: "5"}, State.WRONG, "older than version"),
        ({GLOBAL: "0", LOADED: "5"}, State.WRONG, "is version 0, and this router comes with"),
        ({GLOBAL: str(DIALPLAN_VERSION + 1), LOADED: "5"}, State.WRONG, "upgrade the router"),
        ({GLOBAL: "\u0661", LOADED: "5"}, State.WRONG, "which is none"),
        ({GLOBAL: "9" * 5_000, LOADED: "5"}, State.WRONG, "which is none"),
        ({GLOBAL: "", LOADED: ""}, State.WRONG, "#include"),
        ({}, State.WRONG, "not loaded"),
    ],
)
def test_what_an_asterisk_has_loaded(values: dict[str, str], state: State, said: str) -> None:
    found = loaded("pbx1", values)
    assert (found.state, found.of) == (state, "pbx1")
    assert said in found.what + found.mend
    assert len(found.what) < 200
