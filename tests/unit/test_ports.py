"""Ports for the servers of tests: what one process has drawn no other one draws."""

import itertools
import subprocess
import sys

from tests.ports import free_port
from tests.processes import REPOSITORY

DRAW = "from tests.ports import free_port; print(*(free_port() for _ in range(50)), flush=True); input()"


def test_processes_that_live_at_a_time_draw_different_ports() -> None:
    drawn = [{free_port() for _ in range(50)}]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DRAW], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for each in processes:
        assert each.stdout is not None
        drawn.append({int(port) for port in each.stdout.readline().split()})
    for each in processes:
        each.communicate("\n")
    assert [len(ports) for ports in drawn] == [50] * 4
    assert not any(first & second for first, second in itertools.combinations(drawn, 2))
