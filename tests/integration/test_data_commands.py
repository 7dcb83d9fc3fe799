"""The commands that handle data, as a user's shell runs them."""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.integration import large
from tests.processes import (
    DEMO_DATA,
    PATIENCE_SECONDS,
    RINGWAY,
    Finished,
    Router,
    Settings,
    clean_environment,
    free_port,
    load,
    ringway,
    running_router,
    wait_until,
    write_config,
)

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
]


@pytest.fixture
def config(tmp_path: pathlib.Path) -> pathlib.Path:
    return write_config(tmp_path)


@pytest.fixture
def demo(config: pathlib.Path) -> pathlib.Path:
    load(config, DEMO_DATA)
    return config


def refused(done: Finished, *parts: str) -> str:
    """The one line of a refusal."""
    assert (done.status, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert line.startswith("ringway: ")
    for part in parts:
        assert part in line
    return line


# --- check ----------------------------------------------------------------------------------------------------------


def test_check_lists_every_problem_with_its_place_and_its_mend(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(BROKEN)
    done = ringway("check", path)
    assert (done.status, done.out) == (1, "")
    *lines, last = done.err.splitlines()
    assert last == f"ringway: {len(lines)} problems; nothing was changed"
    for entry, field in BROKEN_PLACES:
        (line,) = [each for each in lines if each.startswith(f"{path}: {entry}: {field}: ")]
        assert "; " in line
    found = ringway("check", path, "--json")
    assert found.status == 1
    assert [(each["entry"], each["field"]) for each in found.json()["problems"]] == BROKEN_PLACES
    assert all(each["file"] == str(path) and each["text"] and each["mend"] for each in found.json()["problems"])


@pytest.mark.parametrize(("name", "mark"), [("good.toml", b"\xef\xbb\xbf"), ("good.json", b""), ("-", b"\xef\xbb\xbf")])
def test_every_form_of_a_set_is_taken(tmp_path: pathlib.Path, name: str, mark: bytes) -> None:
    numbers = '[[numbers]]\nnumber = "02079460000"\ncompany = "acme"\n'
    content = mark + (json.dumps(GOOD_JSON) if name.endswith(".json") else COMPANY + numbers).encode()
    if name != "-":
        (tmp_path / name).write_bytes(content)
        name = str(tmp_path / name)
    done = ringway("check", name, stdin=content)
    assert done == (0, "no problems: 1 companies, 0 call_flows, 0 campaigns, 1 numbers\n", "")


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
    assert number["parameters"] == {"TEXT": " a, b "}


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
    assert ringway("load", "-", "--replace", config=demo, stdin=COMPANY).status == 0
    assert ringway("dump", "--json", config=demo).json() == {"companies": [ACME]}


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


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["toml", "json"])
def test_a_dump_loads_into_another_store_as_the_same_set(
    demo: pathlib.Path, tmp_path: pathlib.Path, form: list[str]
) -> None:
    (tmp_path / "other").mkdir()
    other = write_config(tmp_path / "other")
    dumped = ringway("dump", *form, config=demo).out
    assert ringway("load", "-", config=other, stdin=dumped).out == "14 rows changed, version 1\n"
    assert ringway("dump", *form, config=other).out == dumped
    assert ringway("load", "-", "--replace", config=other, stdin=dumped).out == "nothing to change, version 1\n"


def test_a_reader_who_has_had_enough_is_no_error_of_the_store(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    load(config, large.write(tmp_path / "many.json", 5_000, 0))
    dumping = subprocess.Popen(
        [RINGWAY, "dump", "-c", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()
    )
    assert dumping.stdout is not None
    assert dumping.stdout.readline() == b"[[companies]]\n"
    dumping.stdout.close()
    assert dumping.stderr is not None
    with dumping.stderr:
        assert dumping.stderr.read() == b""
    assert dumping.wait(PATIENCE_SECONDS) == 1


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", [["dump"], ["check", str(DEMO_DATA)]], ids=["dump", "check"])
def test_an_output_without_room_is_one_clear_line(demo: pathlib.Path, command: list[str]) -> None:
    configured = [] if command[0] == "check" else ["-c", str(demo)]
    with pathlib.Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [RINGWAY, *command, *configured], stdout=full, stderr=subprocess.PIPE, env=clean_environment(), check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode().startswith("ringway: cannot print: No space left on device; ")
    assert done.stderr.count(b"\n") == 1


# --- route ----------------------------------------------------------------------------------------------------------


def test_route_explains_itself_with_the_candidates_it_turned_down(demo: pathlib.Path) -> None:
    done = ringway("route", "020 7946 0000", "--from", "anonymous", "--at", "2026-12-24T17:00:00", config=demo)
    assert (done.status, done.err) == (0, "")
    assert 'call flow "main-menu"' in done.out
    assert "turned down" in done.out
    assert "not due before 2027-01-02T09:00:00Z" in done.out
    decision = "=> flow-closed,s,1  call-flow xmas, reason scheduled, at 2026-12-24T17:00:00Z, version 1"
    assert decision in done.out.splitlines()
    earlier = ringway("route", "02079460000", "--at", "2026-12-24T16:59:59", "--json", config=demo).json()
    assert (earlier["id"], earlier["reason"]) == ("main-menu", "assigned")
    assert [step["step"] for step in earlier["steps"]].count("assignment") == 3


def test_route_agrees_with_a_running_router(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path) as router:
        for did in ("02079460001", "02079460002", "02079460003"):
            offline = ringway("route", did, "--json", config=router.config).json()
            answer = router.ask(did)
            assert answer["ROUTE_REASON"] == offline["reason"]
            assert answer["ROUTE_CONTEXT"] == offline["destination"]["context"]
            assert (answer["ROUTE_KIND"], answer["ROUTE_ID"]) == (offline["kind"], offline["id"])
            assert {name.removeprefix("PARAM_"): value for name, value in answer.items() if "PARAM_" in name} == (
                offline["parameters"]
            )
        shown = ringway("call", "02079460001", "--agi", f"127.0.0.1:{router.agi_port}", "--json", config=router.config)
        assert shown.json()["ROUTE_ID"] == "basic-queue"
        state = ringway("status", "--json", config=router.config).json()
        assert (state["table_version"], state["table_numbers"], state["store"]) == (1, 6, "sqlite, up")


# --- exit statuses and configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["sever"], ["load"], ["route"], ["load", "-", "--as-company"]], ids=" ".join)
def test_wrong_usage_is_status_2(words: list[str]) -> None:
    done = ringway(*words)
    assert (done.status, done.out) == (2, "")
    assert "usage: ringway" in done.err


@pytest.mark.parametrize(
    ("section", "parts"),
    [
        ({"agi": {"prot": 1}}, ["ringway.toml", "[agi] prot", "no such setting"]),
        ({"agi": {"port": "4573"}}, ["ringway.toml", "[agi] port", "int"]),
        ({"store": {"url": "redis://localhost"}}, ["[store] url", "redis"]),
        ({"store": {"url": "sqlite:///"}}, ["names no file"]),
        ({"store": {"url": "sqlite:///proc/no/ringway.db"}}, ["/proc/no/ringway.db", "see that the folder is there"]),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_line(
    tmp_path: pathlib.Path, section: dict[str, dict[str, object]], parts: list[str]
) -> None:
    refused(ringway("load", "-", config=write_config(tmp_path, section)), *parts)


@pytest.mark.parametrize("command", [["serve"], ["load", "-"], ["status"]])
def test_every_configured_command_names_a_bad_variable(config: pathlib.Path, command: list[str]) -> None:
    done = ringway(*command, config=config, environment={"RINGWAY_AGI__PORT": "many"})
    refused(done, "RINGWAY_AGI__PORT", '"many"', "[agi] port")


def test_a_missing_configuration_is_named(tmp_path: pathlib.Path) -> None:
    refused(ringway("serve", config=tmp_path / "no.toml"), "no.toml: No such file or directory", "-c FILE")


def test_a_port_in_use_is_named(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path) as router:
        done = ringway("serve", config=write_config(tmp_path, agi_port=router.agi_port))
        refused(done, f"127.0.0.1:{router.agi_port}", "RINGWAY_AGI__PORT")
        done = ringway("serve", config=write_config(tmp_path, metrics_port=router.metrics_port))
        refused(done, f"127.0.0.1:{router.metrics_port}", "RINGWAY_METRICS__PORT")


def test_a_damaged_store_is_named(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "ringway.db").write_bytes(b"not a database at all" * 1000)
    for command in (["dump"], ["serve"], ["load", str(DEMO_DATA)]):
        refused(ringway(*command, config=config), str(tmp_path / "ringway.db"), "damaged")


def test_the_module_is_the_command(config: pathlib.Path) -> None:
    load(config, "")
    command: list[str | pathlib.Path] = [sys.executable, "-m", "router", "dump", "-c", config]
    done = subprocess.run(command, capture_output=True, env=clean_environment(), check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# --- a load that goes wrong -----------------------------------------------------------------------------------------


def test_one_bad_row_among_100_000_is_named_and_changes_nothing(demo: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = ringway("dump", config=demo).out
    path = large.write(tmp_path / "many.json", 100_000, 0)
    text = path.read_text().replace(f'"{large.number(77_776)}", "company"', f'"{large.number(77_776)}", "compony"')
    path.write_text(text)
    done = ringway("load", path, config=demo)
    assert (done.status, done.out) == (1, "")
    where = f'{path}: numbers[77777] "{large.number(77_776)}"'
    assert f"{where}: compony: is not known here; did you mean company?" in done.err
    assert done.err.splitlines()[-1].endswith("nothing was changed")
    assert all(line.startswith(where) for line in done.err.splitlines()[:-1])
    assert ringway("dump", config=demo).out == before


NUMBERS = 6_000


class Loads:
    """A store with one set in it, and loads of another set that are killed."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.config = write_config(folder)
        self.store = folder / "ringway.db"
        self.wal = folder / "ringway.db-wal"
        self.new = large.write(folder / "new.json", NUMBERS, 1)
        load(self.config, large.write(folder / "old.json", NUMBERS, 0))
        shutil.copy(self.store, folder / "template.db")
        self.template = folder / "template.db"

    def reset(self) -> None:
        for path in self.store.parent.glob("ringway.db*"):
            path.unlink()
        shutil.copy(self.template, self.store)

    @contextlib.contextmanager
    def loading(self) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [RINGWAY, "load", self.new, "-c", self.config],
            stdout=subprocess.PIPE,
            env=clean_environment(),
            start_new_session=True,
        )
        assert process.stdout is not None
        with process.stdout:
            yield process
            process.wait(PATIENCE_SECONDS)

    def killed_when(self, moment: Callable[[subprocess.Popen[bytes]], bool]) -> str:
        """Kill a load as soon as `moment` holds (or it has ended); returns what it had acknowledged by then."""
        with self.loading() as process:
            while process.poll() is None and not moment(process):
                pass
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            assert process.stdout is not None
            return process.stdout.read().decode()

    def outcome(self) -> str:
        """Which set is there: all of the old one or all of the new one, in a database that is sound."""
        with contextlib.closing(sqlite3.connect(self.store)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            (version,) = database.execute("SELECT version FROM meta").fetchone()
        dumped = ringway("dump", "--json", config=self.config).json()
        flows = {each["call_flow"] for each in dumped["numbers"]}
        assert len(dumped["numbers"]) == NUMBERS
        assert (version, flows) in [(1, {"f0"}), (2, {"f1"})]
        return "old" if version == 1 else "new"

    def wal_bytes(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self.wal.stat().st_size
        return -1


@pytest.fixture(scope="module")
def loads(tmp_path_factory: pytest.TempPathFactory) -> Loads:
    return Loads(tmp_path_factory.mktemp("loads"))


@pytest.mark.parametrize("size", [0, 1, 400_000])
def test_a_load_killed_while_its_log_grows_leaves_the_old_set_or_the_new_one(loads: Loads, size: int) -> None:
    loads.reset()
    loads.killed_when(lambda _: loads.wal_bytes() >= size)
    loads.outcome()


def test_a_load_killed_at_any_time_leaves_the_old_set_or_the_new_one(loads: Loads) -> None:
    loads.reset()
    started = time.monotonic()
    with loads.loading() as process:
        assert process.stdout is not None
        assert b"version 2" in process.stdout.read()
    whole = time.monotonic() - started
    assert loads.outcome() == "new"
    seen = []
    for _ in range(5):
        loads.reset()
        end = time.monotonic() + whole * random.uniform(0.4, 1.1)
        acknowledged = loads.killed_when(lambda _, end=end: time.monotonic() >= end)  # type: ignore[misc] # bound now
        seen.append(loads.outcome())
        assert seen[-1] == "new" or not acknowledged
    assert set(seen) <= {"old", "new"}


def test_an_acknowledged_load_survives_the_kill_that_follows(loads: Loads) -> None:
    loads.reset()
    with loads.loading() as process:
        assert process.stdout is not None
        assert b"version 2" in process.stdout.readline()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert loads.outcome() == "new"


@pytest.mark.long
def test_after_a_killed_load_the_next_one_goes_through(loads: Loads) -> None:
    loads.reset()
    loads.killed_when(lambda _: loads.wal_bytes() > 0)
    loads.outcome()
    load(loads.config, loads.new)
    assert loads.outcome() == "new"


# --- a full disk ----------------------------------------------------------------------------------------------------


class SmallDisk:
    """A file system of a few megabytes that only processes started with `prefix` see."""

    def __init__(self, folder: pathlib.Path, holder: int) -> None:
        self.prefix = ["nsenter", f"--mount=/proc/{holder}/ns/mnt"]
        self.inside = folder
        self.from_outside = pathlib.Path(f"/proc/{holder}/root{folder}")

    def fill(self, leave: int) -> None:
        """Take all the room but so many bytes."""
        room = os.statvfs(self.from_outside)
        with (self.from_outside / "ballast").open("wb") as ballast:
            ballast.write(b"\0" * (room.f_bavail * room.f_frsize - leave))

    def make_room(self) -> None:
        (self.from_outside / "ballast").unlink()


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[SmallDisk]:
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("install util-linux: unshare and nsenter make a small disk to fill")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = 'mount -t tmpfs -o size=6m tmpfs "$1" && echo mounted && exec cat'
    holder = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder.stdin, holder.stdout:
        try:
            if holder.stdout.readline() != b"mounted\n":
                pytest.skip("run the tests as root: only root may mount a small disk to fill")
            yield SmallDisk(folder, holder.pid)
        finally:
            holder.stdin.close()
            holder.wait(PATIENCE_SECONDS)


def test_a_full_disk_is_told_changes_nothing_and_the_router_goes_on(
    tmp_path: pathlib.Path, small_disk: SmallDisk
) -> None:
    agi_port = free_port()
    settings: Settings = {"store": {"url": f"sqlite://{small_disk.inside}/ringway.db"}}
    config = write_config(tmp_path, settings, agi_port=agi_port)

    def run(*words: str | pathlib.Path) -> Finished:
        return ringway(*words, config=config, prefix=small_disk.prefix)

    few = large.write(tmp_path / "few.json", 500, 0)
    many = large.write(tmp_path / "many.json", 9_000, 1)
    assert run("load", few).status == 0
    router = Router(config, agi_port, 0, prefix=small_disk.prefix)
    try:
        router.start()
        small_disk.fill(leave=300_000)
        refused(run("load", many), "ringway.db", "the disk is full; free some space")
        for place in (0, 250, 499):
            answer = router.ask(large.number(place))
            assert (answer["ROUTE_ID"], answer["ROUTE_VERSION"]) == ("f0", "1")
        assert len(run("dump", "--json").json()["numbers"]) == 500
        small_disk.make_room()
        assert run("load", many).out.endswith("version 2\n")
        wait_until(lambda: router.ask(large.number(8_999))["ROUTE_ID"] == "f1", "the change is taken up")
        assert router.terminate() == 0
        assert router.err == ""
    finally:
        router.close()
