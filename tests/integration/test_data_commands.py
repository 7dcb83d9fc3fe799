"""The commands that handle data, as a user's shell runs them."""

import json
import pathlib
import subprocess

import pytest

from tests.integration import large
from tests.processes import DEMO_DATA, PATIENCE_SECONDS, RINGWAY, clean_environment, load, ringway, write_config

COMPANY = '[[companies]]\nid = "acme"\nname = "Acme"\nregion = "GB"\n'
ACME = {"id": "acme", "name": "Acme", "region": "GB"}
GOOD_JSON = {"companies": [ACME], "numbers": [{"number": "02079460000", "company": "acme"}]}
BROKEN = """
[[companies]]
id = "Acme Ltd"
name = "Acme"
region = "UK"

[[call_flows]]
id = "menu"
name = "Menu"
destination = { context = "flow menu" }
parameters = [{ name = "WAIT", type = "integer", minimum = 5, maximum = 3 }]

[[campaigns]]
id = "offer"
company = "nobody"
name = "Offer"
direction = "sideways"
destination = { context = "c" }

[[numbers]]
number = "call me"
company = "nobody"
desciption = "x"
"""
BROKEN_PLACES = [
    ('companies[1] "Acme Ltd"', "id"),
    ('companies[1] "Acme Ltd"', "region"),
    ('call_flows[1] "menu"', "destination.context"),
    ('call_flows[1] "menu"', "parameters[1].minimum"),
    ('campaigns[1] "offer"', "direction"),
    ('numbers[1] "call me"', "desciption"),
    ('numbers[1] "call me"', "number"),
    ('campaigns[1] "offer"', "company"),
    ('numbers[1] "call me"', "company"),
]


# --- check ----------------------------------------------------------------------------------------------------------


def test_check_lists_every_problem_with_its_place_and_its_hint(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(BROKEN)
    done = ringway("check", path)
    assert (done.status, done.out) == (1, "")
    *lines, last = done.err.splitlines()
    # Of a list with a bad entry the rest may not have been looked at.
    assert last == f"ringway: {len(lines)} problems; nothing was changed; more may show once these are corrected"
    for entry, field in BROKEN_PLACES:
        (line,) = [each for each in lines if each.startswith(f"{path}: {entry}: {field}: ")]
        assert "; " in line
    found = ringway("check", path, "--json")
    assert found.status == 1
    assert [(each["entry"], each["field"]) for each in found.json()["problems"]] == BROKEN_PLACES
    assert all(each["file"] == str(path) and each["text"] and each["hint"] for each in found.json()["problems"])


@pytest.mark.parametrize(("name", "mark"), [("good.toml", b"\xef\xbb\xbf"), ("good.json", b""), ("-", b"\xef\xbb\xbf")])
def test_every_form_of_a_set_is_taken(tmp_path: pathlib.Path, name: str, mark: bytes) -> None:
    numbers = '[[numbers]]\nnumber = "02079460000"\ncompany = "acme"\n'
    content = mark + (json.dumps(GOOD_JSON) if name.endswith(".json") else COMPANY + numbers).encode()
    if name != "-":
        (tmp_path / name).write_bytes(content)
        name = str(tmp_path / name)
    done = ringway("check", name, stdin=content)
    assert done == (0, "no problems: 1 company, 0 call flows, 0 campaigns, 1 number\n", "")


def test_numbers_come_as_csv_beside_a_set(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "numbers.csv"
    path.write_bytes("\ufeffnumber;name\r\n".replace(";", ",").encode() + b'02079460000,"Desk, front"\r\n')
    assert ringway("check", path).status == 1  # no company tells its country
    path.write_text('number,company,name,call_flow,parameters.TEXT\n02079460000,acme,"Desk, front",menu," a, b "\n')
    flow = '[[call_flows]]\nid = "menu"\nname = "Menu"\ndestination = { context = "c" }\n'
    flow += 'parameters = [{ name = "TEXT", type = "text" }]\n'
    assert ringway("load", "-", path, config=config, stdin=COMPANY + flow).status == 0
    (number,) = ringway("dump", "--json", config=config).json()["numbers"]
    assert number["name"] == "Desk, front"
    assert number["parameters"] == {"TEXT": "a, b"}


def test_numbers_come_as_csv_on_standard_input_too(config: pathlib.Path) -> None:
    load(config, COMPANY)
    done = ringway("load", "-", config=config, stdin="number,company\r\n02079460000,acme\r\n")
    assert done == (0, "1 row changed, version 2\n", "")
    done = ringway("load", "-", config=config, stdin="Number;COMPANY\r\n02079460001;acme\r\n")
    assert done == (0, "1 row changed, version 3\n", "")
    done = ringway("load", "-", config=config, stdin="number|company\n02079460000|acme\n")
    assert done.status == 1
    assert "CSV with a line of field names such as number,company" in done.err.splitlines()[0]


def test_check_needs_no_configuration_and_leaves_nothing_behind(tmp_path: pathlib.Path) -> None:
    before = sorted(tmp_path.iterdir())
    environment = {"RINGWAY_STORE__URL": f"sqlite://{tmp_path}/no.db", "RINGWAY_AGI__PORT": "nonsense"}
    assert ringway("check", DEMO_DATA, environment=environment).status == 0
    assert sorted(tmp_path.iterdir()) == before


def test_a_hostile_file_is_told_on_plain_lines(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "hostile.json"
    path.write_text(r'{"numbers": [{"number": "\u001b[2J\n", "\ud800\n": {"\u0007": 1}}], "\u001b]0;": []}')
    for words in ([], ["--json"]):
        done = ringway("check", path, *words)
        assert done.status == 1
        assert "Traceback" not in done.err
        assert all(line.isprintable() for line in done.err.splitlines())
    assert len(done.json()["problems"]) >= 2


# --- load, dump -----------------------------------------------------------------------------------------------------


def test_load_applies_all_or_nothing_against_what_is_stored(demo: pathlib.Path) -> None:
    before = ringway("dump", config=demo).out
    two = '[[numbers]]\nnumber = "+442079460009"\ncompany = "acme"\n[[numbers]]\nnumber = "+442079460008"\n'
    done = ringway("load", "-", config=demo, stdin=two)
    assert done.status == 1
    assert 'standard input: numbers[2] "+442079460008": company: ' in done.err
    assert ringway("dump", config=demo).out == before
    done = ringway("load", "-", config=demo, stdin=two + 'kind = "pool"\n')
    assert done == (0, "2 rows changed, version 2\n", "")
    taken = '[[call_flows]]\nid = "main-menu"\ncompany = "acme"\nname = "x"\ndestination = { context = "c" }\n'
    done = ringway("load", "-", config=demo, stdin=taken)
    assert done.status == 1
    assert 'stored: numbers "+442079460000": parameters.GREETING: ' in done.err


def test_replace_removes_what_the_file_lacks(demo: pathlib.Path) -> None:
    assert ringway("load", "-", "--replace", "--yes", config=demo, stdin=COMPANY).status == 0
    dumped = ringway("dump", "--json", config=demo).json()
    assert dumped == {"companies": [ACME], "end": {"companies": 1, "call_flows": 0, "campaigns": 0, "numbers": 0}}


def test_a_dump_whose_pipe_broke_replaces_nothing(
    demo: pathlib.Path, config: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """As in `ringway dump | ringway load --replace -`, where the first one fails: nothing comes, or not all of it."""
    before = ringway("dump", config=demo).out
    for sent in ("", before[: len(before) // 2].rpartition("[[")[0]):
        done = ringway("load", "-", "--replace", "--yes", config=demo, stdin=sent)
        assert (done.status, done.out) == (1, "")
        assert done.err.endswith("ringway: 1 problem; nothing was changed\n")
    assert ringway("dump", config=demo).out == before


SUPPORT = '[[numbers]]\nnumber = "+442079460001"\ncompany = "acme"\ncity = "London"\nname = "Support"\n'


def test_a_company_admin_changes_the_parameters_of_a_locked_flow_and_not_the_flow(demo: pathlib.Path) -> None:
    other_flow = SUPPORT + 'call_flow = "xmas"\n'
    done = ringway("load", "-", "--as-company", "acme", config=demo, stdin=other_flow)
    assert done.status == 1
    assert 'call_flow: call flow "basic-queue" is locked' in done.err
    other_value = SUPPORT + 'call_flow = "basic-queue"\nparameters = { QUEUE = "sales" }\n'
    done = ringway("load", "-", "--as-company", "globex", config=demo, stdin=other_value)
    assert 'it does not belong to company "globex"' in done.err
    assert ringway("load", "-", "--as-company", "acme", config=demo, stdin=other_value).status == 0
    assert ringway("load", "-", config=demo, stdin=other_flow).status == 0  # the platform owner may do both


PAID = 'destination = { context = "from-internal", exten = "0088123456789" }\n'
CLOSED = 'company = "acme"\nname = "Closed"\n'
OFFER = 'company = "acme"\nname = "Offer"\ndirection = "inbound"\n'
ACME_ENTRY = DEMO_DATA.read_text().partition("[[companies]]")[2].partition("[[companies]]")[0]
FRAUD = {
    "a flow of its own": f'[[call_flows]]\nid = "paid"\n{CLOSED}{PAID}',
    "a flow that is there": f'[[call_flows]]\nid = "acme-closed"\n{CLOSED}{PAID}',
    "a campaign of its own": f'[[campaigns]]\nid = "paid"\n{OFFER}{PAID}',
    "a campaign that is there": f'[[campaigns]]\nid = "spring-offer"\n{OFFER}{PAID}',
    "contexts of its own": f'[[companies]]{ACME_ENTRY}contexts = ["*"]\n[[call_flows]]\nid = "paid"\n{CLOSED}{PAID}',
}


@pytest.mark.parametrize("contexts", ["", 'contexts = ["flow-*", "campaign-*"]\n'], ids=["no contexts", "contexts"])
@pytest.mark.parametrize("form", FRAUD)
def test_a_company_admin_cannot_have_calls_go_to_paid_numbers(demo: pathlib.Path, form: str, contexts: str) -> None:
    assert ringway("load", "-", config=demo, stdin=f"[[companies]]{ACME_ENTRY}{contexts}").status == 0
    before = ringway("dump", config=demo).out
    done = ringway("load", "-", "--as-company", "acme", config=demo, stdin=FRAUD[form])
    assert (done.status, done.out) == (1, "")
    assert "platform owner" in done.err
    assert "nothing was changed" in done.err
    assert ringway("dump", config=demo).out == before


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["toml", "json"])
def test_a_dump_loads_into_another_store_as_the_same_set(
    demo: pathlib.Path, tmp_path: pathlib.Path, form: list[str]
) -> None:
    (tmp_path / "other").mkdir()
    other = write_config(tmp_path / "other")
    dumped = ringway("dump", *form, config=demo).out
    assert ringway("load", "-", config=other, stdin=dumped).out == "15 rows changed, version 1\n"
    assert ringway("dump", *form, config=other).out == dumped
    assert ringway("load", "-", "--replace", config=other, stdin=dumped).out == "nothing to change, version 1\n"


def test_a_dump_is_utf_8_whatever_the_terminal_has(config: pathlib.Path) -> None:
    load(config, COMPANY.replace("Acme", "Zürich"))
    dumped = ringway("dump", config=config, environment={"PYTHONIOENCODING": "latin-1"})
    assert 'name = "Zürich"' in dumped.out
    assert load(config, dumped.out).out == "nothing to change, version 1\n"


def test_a_reader_who_has_had_enough_is_no_error_of_the_store(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    load(config, large.write(tmp_path / "many.json", 5_000, 0))
    dumping = subprocess.Popen(
        [RINGWAY, "dump", "-c", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()
    )
    assert dumping.stdout is not None
    assert dumping.stdout.readline().startswith(b"# A dump of Ringway's.")
    dumping.stdout.close()
    assert dumping.stderr is not None
    with dumping.stderr:
        assert dumping.stderr.read() == b""
    assert dumping.wait(PATIENCE_SECONDS) == 1
