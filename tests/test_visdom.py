"""VisdomBackend against servers that answer, are absent, die, come back, or say nothing."""

import base64
import io
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("visdom")

from util.clock import Clock
from util.display.backends import visdom as backend_module
from util.display.backends.visdom import VisdomBackend
from util.display.loss_history import History
from util.imaging.images import to_uint8

ROOT = Path(__file__).resolve().parents[1]


class FakeServer:
    """Answers visdom's client and keeps the windows it was given."""

    def __init__(self, port: int = 0) -> None:
        self.windows: dict[str, dict] = {}
        windows = self.windows

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = ""
                if self.path == "/events":
                    windows[body["win"]] = body
                elif self.path == "/win_exists":
                    answer = json.dumps(body["win"] in windows)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def curve(self, window: str, name: str) -> tuple[list[float], list[float]]:
        trace = next(trace for trace in self.windows[window]["data"] if trace["name"] == name)
        return trace["x"], trace["y"]

    def pictures(self, window: str) -> dict[str, np.ndarray]:
        content = self.windows[window]["data"][0]["content"]
        found = re.findall(
            r"<figcaption[^>]*>([^<]*)</figcaption><img src=\"data:image/png;base64,([^\"]*)", content
        )
        return {label: np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))) for label, png in found}

    def die(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and rests of milliseconds."""
    for name, seconds in {"RETRY_S": 0.05, "MAX_RETRY_S": 0.1, "PACE_S": 0.01, "FLUSH_S": 5.0}.items():
        monkeypatch.setattr(backend_module, name, seconds)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.die()


@pytest.fixture
def make() -> Iterator[Callable[..., VisdomBackend]]:
    made = []

    def make_backend(port: int, **changed: object) -> VisdomBackend:
        options: dict = {"env": "main", "ncols": 4, "winsize": 64, "name": "run", "probe_s": 2.0} | changed
        made.append(VisdomBackend(server="http://127.0.0.1", port=port, **options))
        return made[-1]

    yield make_backend
    for backend in made:
        backend.close()


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def feed(backend: VisdomBackend, clock: Clock, steps: int) -> float:
    """Show `steps` values and panels; returns the seconds of the mean call."""
    image = torch.zeros(1, 3, 8, 8)
    spent = 0.0
    for _ in range(steps):
        clock.advance(10)
        start = time.perf_counter()
        backend.scalars({"G_A": clock.images / 100, "gamma_G": 0.5}, clock)
        backend.images({"real_A": image, "fake_B": image}, clock)
        spent += time.perf_counter() - start
        time.sleep(0.005)
    return spent / (2 * steps)


def test_curves_and_panels_arrive(server: FakeServer, make: Callable[..., VisdomBackend]) -> None:
    backend, clock = make(server.port), Clock()
    for value in (1.0, 0.5, 0.25):
        clock.advance(100)
        backend.scalars(
            {"G_A": value, "D_A": float("inf") if value == 0.5 else 2 * value, "gamma_G": 0.1}, clock
        )
    generator = torch.Generator().manual_seed(0)
    colour = torch.rand(1, 3, 8, 12, generator=generator) * 2 - 1
    grey = torch.rand(1, 1, 8, 12, generator=generator) * 2 - 1
    backend.images({"real_A": colour, "a<b": grey}, clock)
    backend.close()

    assert server.curve("run_losses", "G_A") == ([100.0, 200.0, 300.0], [1.0, 0.5, 0.25])
    assert server.curve("run_losses", "D_A") == ([100.0, 300.0], [2.0, 0.5])  # infinity is no JSON
    assert server.curve("run_gammas", "gamma_G")[1] == [0.1, 0.1, 0.1]
    assert {trace["name"] for trace in server.windows["run_losses"]["data"]} == {"G_A", "D_A"}
    pictures = server.pictures("run_panels")
    assert list(pictures) == ["real_A", "a&lt;b"]
    assert np.array_equal(pictures["real_A"], to_uint8(colour)[0])
    assert np.array_equal(pictures["a&lt;b"], to_uint8(grey)[0, ..., 0])
    opts = server.windows["run_panels"]["opts"]
    assert opts["title"] == "run: epoch 1, 300 images"
    assert 2 * 64 < opts["width"] < 3 * 64


def test_a_single_point_is_drawn_as_a_dot(server: FakeServer, make: Callable[..., VisdomBackend]) -> None:
    backend = make(server.port)
    backend.scalars({"G_A": 1.0}, Clock(images=10))
    backend.close()
    assert server.windows["run_losses"]["data"][0]["mode"] == "lines+markers"


def test_ncols_0_gives_each_label_its_own_pane(
    server: FakeServer, make: Callable[..., VisdomBackend]
) -> None:
    backend = make(server.port, ncols=0)
    feed(backend, Clock(), 1)
    backend.close()
    assert {"run_real_A", "run_fake_B"} <= set(server.windows)
    assert list(server.pictures("run_fake_B")) == ["fake_B"]


def test_no_images_are_no_fault(
    server: FakeServer, make: Callable[..., VisdomBackend], capsys: pytest.CaptureFixture
) -> None:
    backend = make(server.port)
    backend.images({}, Clock())
    backend.scalars({"G_A": 1.0}, Clock())
    backend.close()
    assert set(server.windows) == {"run_losses"}
    assert capsys.readouterr().err == ""


def test_an_absent_server_costs_one_warning_and_no_time(
    make: Callable[..., VisdomBackend], capsys: pytest.CaptureFixture
) -> None:
    port = free_port()
    backend = make(port)
    mean_s = feed(backend, Clock(), 60)  # 0.3 s at least: several retries
    start = time.perf_counter()
    backend.close()
    assert time.perf_counter() - start < 3.0
    assert mean_s < 0.05
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 1
    assert f"http://127.0.0.1:{port}" in warnings[0]
    assert "scripts/visdom_server.py" in warnings[0]


def test_a_server_that_dies_and_returns_gets_everything_again(
    make: Callable[..., VisdomBackend], capsys: pytest.CaptureFixture
) -> None:
    first = FakeServer()
    backend, clock = make(first.port), Clock()
    feed(backend, clock, 3)
    assert eventually(lambda: {"run_losses", "run_gammas", "run_panels"} <= set(first.windows))
    first.die()
    feed(backend, clock, 20)
    told = capsys.readouterr()
    assert told.out.count("panels and curves at") == 1
    assert told.err.count("warning") == 1
    second = FakeServer(first.port)
    # nothing new is shown: the backend looks for the server by itself
    assert eventually(lambda: {"run_losses", "run_gammas", "run_panels"} <= set(second.windows))
    backend.close()
    second.die()
    assert second.curve("run_losses", "G_A")[0] == [10.0 * step for step in range(1, 24)]
    told = capsys.readouterr()
    assert told.out.count("panels and curves at") == 1
    assert told.err == ""


def test_a_restart_that_no_sending_noticed_is_mended(
    server: FakeServer, make: Callable[..., VisdomBackend]
) -> None:
    backend, clock = make(server.port), Clock()
    feed(backend, clock, 2)
    assert eventually(lambda: "run_panels" in server.windows)
    time.sleep(0.1)
    server.windows.clear()
    backend.scalars({"G_A": 1.0}, clock)
    assert eventually(lambda: {"run_losses", "run_panels"} <= set(server.windows))


def test_a_server_that_never_answers_blocks_nothing(
    make: Callable[..., VisdomBackend], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "FLUSH_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        backend = make(silent.getsockname()[1], probe_s=30.0)
        assert feed(backend, Clock(), 20) < 0.05
        start = time.perf_counter()
        backend.close()
        assert 0.2 < time.perf_counter() - start < 2.0
        assert capsys.readouterr().err == ""  # 30 s are not over


def test_a_server_that_refuses_is_told_with_its_answer(
    make: Callable[..., VisdomBackend], capsys: pytest.CaptureFixture, server: FakeServer
) -> None:
    backend = make(server.port)
    server._server.RequestHandlerClass.do_POST = lambda handler: handler.send_error(403)  # type: ignore[attr-defined]
    backend.scalars({"G_A": 1.0}, Clock())
    backend.close()
    assert "it answers 403" in capsys.readouterr().err


def test_curves_of_a_resumed_run_are_shown_from_the_start(
    server: FakeServer, make: Callable[..., VisdomBackend]
) -> None:
    history = History()
    history.add(10, {"G_A": 3.0})
    backend = make(server.port, history=history)
    backend.scalars({"G_A": 2.0}, Clock(images=20))
    backend.close()
    assert server.curve("run_losses", "G_A") == ([10.0, 20.0], [3.0, 2.0])


def test_a_proxy_for_the_internet_is_not_asked_for_this_machine(
    server: FakeServer, make: Callable[..., VisdomBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    backend = make(server.port)
    feed(backend, Clock(), 1)
    backend.close()
    assert "run_losses" in server.windows


def test_no_thread_before_the_first_message(server: FakeServer, make: Callable[..., VisdomBackend]) -> None:
    def senders() -> int:
        return sum(thread.name == "visdom" for thread in threading.enumerate())

    before = senders()
    backend = make(server.port)
    assert senders() == before
    feed(backend, Clock(), 1)
    assert senders() == before + 1
    backend.close()
    assert senders() == before


def test_without_the_package_one_warning(
    make: Callable[..., VisdomBackend], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "visdom", None)
    backend = make(free_port())
    feed(backend, Clock(), 3)
    backend.close()
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 1
    assert "make setup" in warnings[0]


def test_a_fault_in_the_thread_is_one_warning(
    server: FakeServer,
    make: Callable[..., VisdomBackend],
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("no such pen")

    monkeypatch.setattr(VisdomBackend, "_send_plot", broken)
    backend = make(server.port)
    feed(backend, Clock(), 3)
    backend.close()
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 1
    assert warnings[0].endswith("ValueError: no such pen")


def test_the_process_ends_without_close_and_without_a_traceback() -> None:
    code = """
import sys
from util.display.backends.visdom import VisdomBackend
from util.clock import Clock
backend = VisdomBackend(server="http://127.0.0.1", port=int(sys.argv[1]), env="main", ncols=4, winsize=64, name="run")
backend.scalars({"G_A": 1.0}, Clock(images=1))
"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = [sys.executable, "-c", code, str(silent.getsockname()[1])]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
