"""A configuration of the test's own, with and without the demo data in its store."""

import pathlib

import pytest

from tests.processes import DEMO_DATA, load, write_config


@pytest.fixture
def config(tmp_path: pathlib.Path) -> pathlib.Path:
    return write_config(tmp_path)


@pytest.fixture
def demo(config: pathlib.Path) -> pathlib.Path:
    load(config, DEMO_DATA)
    return config
