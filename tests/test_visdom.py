"""VisdomBackend with servers that answer, are absent, die, return, or stay silent."""

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
from conftest import ROOT, names_all
from display_run import fake_run, options
from PIL import Image

from util.clock import Clock
from util.display.backends import visdom as backend_module
from util.display.backends.visdom import PLOT_SIZE, VisdomBackend, plot_message
from util.imaging.images import to_uint8

Make = Callable[..., VisdomBackend]
IMAGE = torch.zeros(1, 3, 8, 8)


class FakeServer:
    """Answers the backend and keeps the windows that it receives."""

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
    """Retries and pauses of milliseconds."""
    for name, seconds in {"RETRY_S": 0.05, "MAX_RETRY_S": 0.1, "PAUSE_S": 0.01, "CLOSE_S": 5.0}.items():
        monkeypatch.setattr(backend_module, name, seconds)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.die()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    backends = []

    def make_backend(port: int, *, resumed: bool = False, **changed: object) -> VisdomBackend:
        run = fake_run(tmp_path, Clock(images=100), resumed=resumed)
        backends.append(VisdomBackend(options(display_port=port, **changed), run, images_per_epoch=8))
        return backends[-1]

    yield make_backend
    for backend in backends:
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
    """Show losses and images `steps` times; return the mean seconds per call."""
    spent = 0.0
    for _ in range(steps):
        clock.advance(10)
        start = time.perf_counter()
        backend.scalars({"G_A": clock.images / 100, "gamma_G": 0.5}, clock)
        backend.images({"real_A": IMAGE, "fake_B": IMAGE}, clock)
        spent += time.perf_counter() - start
        time.sleep(0.005)
    return spent / (2 * steps)


def test_curves_and_panels_arrive(server: FakeServer, make: Make) -> None:
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


def test_a_plot_is_what_visdoms_own_client_sends() -> None:
    visdom = pytest.importorskip("visdom")
    curves = {
        "a": [(1.0, 2.0, 2.0, 2.0), (3.0, 4.0, 4.0, 4.0)],
        "b": [(1.0, 5.0, 5.0, 5.0), (2.0, 6.0, 6.0, 6.0)],
    }
    margins = {"margintop": 30, "marginbottom": 45, "marginright": 20}
    opts = {"title": "t", "legend": list(curves), "mode": "lines", "xlabel": "images", **PLOT_SIZE, **margins}
    opts["layoutopts"] = {"plotly": {"title": None}}
    points = np.array([point[:2] for points in curves.values() for point in points])
    client = visdom.Visdom(send=False, use_incoming_socket=False)
    expected, endpoint = client.scatter(points, np.array([1, 1, 2, 2]), win="w", opts=opts)
    message = {"win": "w", "eid": "main"} | plot_message("t", curves)
    assert endpoint == "events" and message.keys() == expected.keys()
    assert message.pop("opts").items() <= expected.pop("opts").items()
    assert message == expected


def test_ncols_0_gives_each_label_its_own_pane(server: FakeServer, make: Make) -> None:
    backend = make(server.port, display_ncols=0)
    feed(backend, Clock(), 1)
    backend.close()
    assert {"run_real_A", "run_fake_B"} <= set(server.windows)
    assert list(server.pictures("run_fake_B")) == ["fake_B"]


def test_a_single_point_is_a_dot_and_no_images_are_no_error(
    server: FakeServer, make: Make, capsys: pytest.CaptureFixture
) -> None:
    backend = make(server.port)
    backend.images({}, Clock())
    backend.scalars({"G_A": 1.0}, Clock())
    backend.close()
    assert set(server.windows) == {"run_losses"}
    assert server.windows["run_losses"]["data"][0]["mode"] == "lines+markers"
    assert capsys.readouterr().err == ""


def test_an_absent_server_costs_one_warning_and_no_time(make: Make, capsys: pytest.CaptureFixture) -> None:
    port = free_port()
    backend = make(port)
    mean_s = feed(backend, Clock(), 60)  # 0.3 s at least: several retries
    start = time.perf_counter()
    backend.close()
    assert time.perf_counter() - start < 3.0
    assert mean_s < 0.05
    (warning,) = capsys.readouterr().err.splitlines()
    assert names_all(warning, [f"http://127.0.0.1:{port}", "scripts/visdom_server.py"])


def test_a_server_that_dies_and_returns_gets_everything_again(
    make: Make, capsys: pytest.CaptureFixture
) -> None:
    first = FakeServer()
    backend, clock = make(first.port), Clock()
    feed(backend, clock, 3)
    assert eventually(lambda: {"run_losses", "run_gammas", "run_panels"} <= set(first.windows))
    first.die()
    feed(backend, clock, 20)
    printed = capsys.readouterr()
    assert printed.out.count("http://127.0.0.1") == 1
    assert printed.err.count("warning") == 1
    second = FakeServer(first.port)
    # nothing new is shown: the backend looks for the server by itself
    assert eventually(lambda: {"run_losses", "run_gammas", "run_panels"} <= set(second.windows))
    backend.close()
    second.die()
    assert second.curve("run_losses", "G_A")[0] == [10.0 * step for step in range(1, 24)]
    printed = capsys.readouterr()
    assert printed.out.count("http://127.0.0.1") == 1
    assert printed.err == ""


def test_images_are_sent_again_after_an_unnoticed_restart(server: FakeServer, make: Make) -> None:
    backend, clock = make(server.port), Clock()
    feed(backend, clock, 2)
    assert eventually(lambda: "run_panels" in server.windows)
    time.sleep(0.1)
    server.windows.clear()
    backend.scalars({"G_A": 1.0}, clock)
    assert eventually(lambda: {"run_losses", "run_panels"} <= set(server.windows))


def test_a_server_that_never_answers_blocks_nothing(
    make: Make, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "CLOSE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        backend = make(silent.getsockname()[1])
        assert feed(backend, Clock(), 20) < 0.05
        start = time.perf_counter()
        backend.close()
        assert 0.2 < time.perf_counter() - start < 2.0
        assert capsys.readouterr().err == ""  # TIMEOUT_S has not passed


def test_a_server_that_answers_too_late_is_lost(
    make: Make, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        backend = make(silent.getsockname()[1])
        feed(backend, Clock(), 1)
        backend.close()
    assert capsys.readouterr().err.count("warning") == 1


def test_the_warning_gives_the_answer_of_a_server_that_refuses(
    make: Make, capsys: pytest.CaptureFixture, server: FakeServer
) -> None:
    backend = make(server.port)
    server._server.RequestHandlerClass.do_POST = lambda handler: handler.send_error(403)  # type: ignore[attr-defined]
    backend.scalars({"G_A": 1.0}, Clock())
    backend.close()
    assert "403" in capsys.readouterr().err


def test_curves_of_a_resumed_run_are_shown_from_the_start(
    server: FakeServer, make: Make, tmp_path: Path
) -> None:
    (tmp_path / "losses.jsonl").write_text('{"images": 10, "losses": {"G_A": 3.0}}\n')
    backend = make(server.port, resumed=True)
    backend.scalars({"G_A": 2.0}, Clock(images=20))
    backend.close()
    assert server.curve("run_losses", "G_A") == ([10.0, 20.0], [3.0, 2.0])


@pytest.mark.parametrize("address", ["127.0.0.1", "http://127.0.0.1/"])
def test_an_address_may_lack_the_scheme_and_this_machine_needs_no_proxy(
    server: FakeServer, make: Make, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    backend = make(server.port, display_server=address)
    feed(backend, Clock(), 1)
    backend.close()
    assert "run_losses" in server.windows


def test_there_is_no_thread_before_the_first_message(server: FakeServer, make: Make) -> None:
    def senders() -> int:
        return sum(thread.name == "visdom" for thread in threading.enumerate())

    before = senders()
    backend = make(server.port)
    assert senders() == before
    feed(backend, Clock(), 1)
    assert senders() == before + 1
    backend.close()
    assert senders() == before


def test_a_bug_in_the_thread_costs_one_warning(
    server: FakeServer, make: Make, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("no such pen")

    monkeypatch.setattr(backend_module, "plot_message", broken)
    backend = make(server.port)
    feed(backend, Clock(), 3)
    backend.close()
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.endswith("ValueError: no such pen")


def test_the_process_ends_without_close_and_without_a_traceback(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from tests.display_run import fake_run, options
from util.clock import Clock
from util.display.backends.visdom import VisdomBackend
backend = VisdomBackend(options(display_port=int(sys.argv[1])), fake_run(Path(sys.argv[2])), images_per_epoch=8)
backend.scalars({"G_A": 1.0}, Clock(images=1))
"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = [sys.executable, "-c", code, str(silent.getsockname()[1]), str(tmp_path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
