"""The visdom server talks to its own page and to train.py, not to other web pages open in the browser."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

import pytest
from conftest import ROOT, load_script

from scripts import visdom_assets

pytest.importorskip("visdom")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
FOREIGN = "http://foreign.example"
WINDOW = {"data": [{"content": "hello", "type": "text"}], "win": "w", "eid": "main", "layout": {}, "opts": {}}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a running server with complete web files."""
    folder = tmp_path_factory.mktemp("visdom")
    version = metadata.version("visdom")
    source, static = folder / "static", folder / "cache" / "zebrawood" / f"visdom-{version}"
    for path in visdom_assets.asset_paths():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(path)
    shutil.copytree(load_script("scripts/visdom_server.py").find_static(), static)
    visdom_assets.install(visdom_assets.from_path(source), static, version)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number = probe.getsockname()[1]
    place = ["--port", str(number), "--env_path", str(folder / "envs"), "--allow_hosts", "known.example"]
    command = [sys.executable, "scripts/visdom_server.py", *place]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None and str(number) in server.stdout.readline()
        yield number
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=20)


def ask(port: int, method: str, path: str, headers: dict[str, str], body: object = None) -> int:
    """The status of the server's answer; 101 for an accepted websocket."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        data = b"" if body is None else json.dumps(body).encode()
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            connection.putheader(name, value)
        connection.endheaders(data)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_own_page_and_train_py_are_answered(port: int) -> None:
    own = f"http://127.0.0.1:{port}"
    assert ask(port, "GET", "/", {}) == 200
    assert ask(port, "POST", "/events", {}, WINDOW) == 200
    assert ask(port, "POST", "/events", {"Origin": own}, WINDOW) == 200
    for host in (f"localhost:{port}", "localhost:9000", f"[::1]:{port}", f"KNOWN.example:{port}"):
        assert ask(port, "GET", "/", {"Host": host}) == 200
    assert (
        ask(port, "POST", "/events", {"Host": "known.example", "Origin": "https://known.example"}, WINDOW)
        == 200
    )


@pytest.mark.parametrize(
    "origin", [FOREIGN, "null", "http://127.0.0.1:1", "http://127.0.0.1.foreign.example"]
)
@pytest.mark.parametrize("path", ["/events", "/close", "/env_state"])
def test_a_post_from_another_page_is_forbidden(port: int, path: str, origin: str) -> None:
    assert ask(port, "POST", path, {"Origin": origin}, WINDOW) == 403


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "host", ["foreign.example", "10.0.0.1", "localhost@foreign.example", "localhost.example", ""]
)
def test_a_foreign_host_name_is_forbidden(port: int, method: str, host: str) -> None:
    """A name of another site that has been pointed at this machine (DNS rebinding)."""
    path, body = ("/", None) if method == "GET" else ("/events", WINDOW)
    assert ask(port, method, path, {"Host": f"{host}:{port}"}, body) in (400, 403)


@pytest.mark.parametrize(
    ("mode", "destination", "status"),
    [("no-cors", "image", 403), ("navigate", "iframe", 403), ("navigate", "document", 200)],
)
def test_other_pages_may_only_link_to_the_page(port: int, mode: str, destination: str, status: int) -> None:
    """Browsers send no Origin with these requests."""
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
    assert ask(port, "GET", "/", headers) == status


def test_another_machine_uses_an_address_or_a_name_of_the_server() -> None:
    is_trusted = load_script("scripts/visdom_server.py").is_trusted
    assert is_trusted({"Host": "10.0.0.1:8097"}, {"box"}, remote=True)
    assert is_trusted({"Host": "box:8097", "Origin": "http://box:8097"}, {"box"}, remote=True)
    assert not is_trusted({"Host": "foreign.example"}, {"box"}, remote=True)
    assert not is_trusted({"Host": "10.0.0.1", "Origin": "http://10.0.0.2"}, {"box"}, remote=True)


# the last, because the server may still write to a socket that was closed just now


@pytest.mark.parametrize("path", ["/socket", "/vis_socket"])
def test_a_websocket_from_another_page_is_forbidden(port: int, path: str) -> None:
    assert ask(port, "GET", path, UPGRADE | {"Origin": FOREIGN}) == 403


def test_websockets_of_the_own_page_and_train_py_are_accepted(port: int) -> None:
    assert ask(port, "GET", "/socket", UPGRADE | {"Origin": f"http://127.0.0.1:{port}"}) == 101
    assert ask(port, "GET", "/vis_socket", UPGRADE) == 101
