"""What a table costs beside its calls: memory, the start of a router, the loading of a store; in SQLite and in Redis.

Run it alone to measure that and nothing else.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import bounds, machine, processes, redis_process, report
from bench.calls import MAX_NUMBERS
from bench.sites import BenchError, Site

SMALL_NUMBERS = 1_000  # of the router that the growth is counted from
NUMBERS = 1_000_000
_SNAPSHOT_SERVES = '"snapshot_serves"'
_IMAGE_IS_WRITTEN = '"table_image"'


def measure(site: Site, small: Site, core: int | None) -> dict[str, Any]:
    """Load both sites, SQLite's, and stores like them in Redis; return what that took (seconds, bytes a number).

    Both sites are loaded afterwards, for whoever goes on with them.
    """
    found: dict[str, Any] = {"numbers": site.numbers, "small_numbers": small.numbers, "skipped": []}
    found["foreign_share"] = {}  # of one core, while a time was taken, by its name
    _in_sqlite(site, small, core, found)
    path = redis_process.program()
    if path is None:
        found["skipped"].append("Redis and the snapshot: no redis-server in PATH or in the cache of `make test-parts`")
    else:
        _in_redis(path, site, small, core, found)
    return found


def _in_sqlite(site: Site, small: Site, core: int | None, found: dict[str, Any]) -> None:
    small.load("csv")
    again = Site(site.folder / "json", site.numbers)
    _note_time(found, "load_json_sqlite", again.load("json"))
    again.clear()
    _note_time(found, "load_csv_sqlite", site.load("csv"))
    before = _resident(small, core)
    with site.router("router", core) as started:
        _note_time(found, "start_sqlite", started.took)
        _note_growth(found, "sqlite", before, started.server.pid, site.numbers - small.numbers)


def _in_redis(path: str, site: Site, small: Site, core: int | None, found: dict[str, Any]) -> None:
    folder = site.folder / "redis"
    folder.mkdir()
    with redis_process.running(path, folder) as url:
        before = _resident(_loaded(Site(folder / "small", small.numbers, url)), core)
    shared = Site(folder / "router", site.numbers)
    with redis_process.running(path, folder) as url:
        shared.store_url = url
        _note_time(found, "load_json_redis", shared.load("json"))
        with shared.router("router", core) as started:  # there is no snapshot yet
            _note_time(found, "start_redis", started.took)
            if not shared.comes_to_say(_IMAGE_IS_WRITTEN):
                raise BenchError("the router does not say that it has written an image of its table")
            _note_growth(found, "redis", before, started.server.pid, site.numbers - small.numbers)
    with shared.router("router", core) as started:
        if not shared.comes_to_say(_SNAPSHOT_SERVES):
            raise BenchError("the router started without its Redis, and does not say that its snapshot serves")
        _note_time(found, "start_snapshot", started.took)
    shared.clear()


def _loaded(site: Site) -> Site:
    site.load("json")
    return site


def _resident(site: Site, core: int | None) -> int:
    with site.router("router", core) as started:
        return processes.settled_bytes(started.server.pid)


def _note_growth(found: dict[str, Any], store: str, before: int, process: int, more_numbers: int) -> None:
    now = processes.settled_bytes(process)
    found[f"resident_mib_{store}"] = round(now / 2**20, 1)
    found[f"resident_mib_small_{store}"] = round(before / 2**20, 1)
    found[f"peak_mib_{store}"] = round(processes.resident_bytes(process)[1] / 2**20, 1)
    _note(found, f"bytes_per_number_{store}", (now - before) / max(1, more_numbers), digits=1)


def _note_time(found: dict[str, Any], name: str, took: processes.Used) -> None:
    found["foreign_share"][name] = round(took.foreign_share, 3)
    _note(found, name, took.seconds)


def _note(found: dict[str, Any], name: str, value: float, digits: int = 2) -> None:
    found[name] = round(value, digits)
    print(f"{name.replace('_', ' ')}: {found[name]:g}", flush=True)


def main() -> int:
    """Measure, print, judge; exit status as that of `bench/run.py`."""
    parser = argparse.ArgumentParser(description="Memory a number, and how long a start and a load take.")
    parser.add_argument("--numbers", type=int, default=NUMBERS, help="bounds are judged at a million alone")
    options = parser.parse_args()
    if not SMALL_NUMBERS < options.numbers <= MAX_NUMBERS:
        parser.error(f"{SMALL_NUMBERS + 1} to {MAX_NUMBERS} numbers")
    processes.end_on_sigterm()
    core, _ = processes.cores()
    try:
        with tempfile.TemporaryDirectory(prefix="ringway-bench-") as name:
            folder = Path(name)
            site, small = Site(folder / "large", options.numbers), Site(folder / "small", SMALL_NUMBERS)
            found = measure(site, small, core)
    except (BenchError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return bounds.UNMEASURED
    result = {"machine": machine.described(), "memory": found}
    unjudged = bounds.not_judged(numbers=options.numbers)
    verdicts = bounds.judge(bounds.of_memory(found), bounds.MEMORY, unjudged)
    print(report.memory_text(result))
    print(report.verdict_text(verdicts))
    return bounds.exit_status(verdicts, unjudged=unjudged)


if __name__ == "__main__":
    sys.exit(main())
