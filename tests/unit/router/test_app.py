import contextlib
import pathlib
import socket
from collections.abc import Iterator

import pytest

from router import app
from router.observe.metrics import Metrics
from router.settings import Agi, Endpoint, Settings, SettingsError, Store
from router.store.base import StoreError


@contextlib.contextmanager
def taken(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as other:
        other.bind((host, 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_is_named_with_its_key_and_its_variable() -> None:
    with taken() as port, pytest.raises(SettingsError) as caught:
        app._bind("agi", "127.0.0.1", port)
    assert f"[agi] host, port: cannot listen on 127.0.0.1:{port}" in str(caught.value)
    assert "RINGWAY_AGI__PORT" in str(caught.value)


def test_a_metrics_port_in_use_is_named_too() -> None:
    with taken() as port, pytest.raises(SettingsError, match=r"\[metrics\] host, port.*RINGWAY_METRICS__PORT"):
        app._metrics_server(Endpoint(port=port), Metrics()).__enter__()


def test_a_host_that_is_none_of_ours_is_named() -> None:
    with pytest.raises(SettingsError, match=r"\[agi\] host, port: cannot listen on 192\.0\.2\.1:0"):
        app._bind("agi", "192.0.2.1", 0)


def test_sockets_are_bound_and_not_listening_yet() -> None:
    (each,) = app._bind("agi", "127.0.0.1", 0)
    with each, socket.socket() as client:
        assert client.connect_ex(each.getsockname()) != 0
        assert app._shown(each) == f"127.0.0.1:{each.getsockname()[1]}"


def test_no_metrics_port_means_no_metrics_server() -> None:
    with app._metrics_server(Endpoint(port=0), Metrics()):
        pass


def test_a_router_without_its_store_does_not_start(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings(
        agi=Agi(port=0), metrics=Endpoint(port=0), store=Store(f"sqlite://{tmp_path / 'file' / 'ringway.db'}")
    )
    with pytest.raises(StoreError, match="see that the folder is there"):
        app.serve(settings)


def test_a_router_whose_port_is_taken_does_not_touch_its_store(tmp_path: pathlib.Path) -> None:
    with taken() as port:
        settings = Settings(agi=Agi(port=port), metrics=Endpoint(port=0), store=Store(f"sqlite://{tmp_path / 'r.db'}"))
        with pytest.raises(SettingsError):
            app.serve(settings)
    assert list(tmp_path.iterdir()) == []
