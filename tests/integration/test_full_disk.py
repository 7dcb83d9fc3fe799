"""A disk without room: for the store, and for what a command prints."""

import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration import large
from tests.integration.refusals import refused
from tests.ports import free_port
from tests.processes import (
    DEMO_DATA,
    PATIENCE_SECONDS,
    RINGWAY,
    Finished,
    Router,
    Settings,
    clean_environment,
    ringway,
    wait_until,
    write_config,
)


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


def test_a_disk_that_is_full_at_the_start_is_called_that(tmp_path: pathlib.Path, small_disk: SmallDisk) -> None:
    settings: Settings = {"store": {"url": f"sqlite://{small_disk.inside}/ringway.db"}}
    config = write_config(tmp_path, settings)
    assert ringway("load", DEMO_DATA, config=config, prefix=small_disk.prefix).status == 0
    for leave in (0, 8_192):
        small_disk.fill(leave=leave)
        done = ringway("serve", config=config, prefix=small_disk.prefix)
        assert done.status == 1
        assert done.err.splitlines()[-1].endswith("; the disk is full; free some space and try again")
        small_disk.make_room()


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
