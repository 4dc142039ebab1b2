#!/usr/bin/env python3
"""Start visdom's server, with or without internet.

python scripts/visdom_server.py     # prints the address to open in a browser
"""

import argparse
import asyncio
import ipaddress
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.checks import writable
from scripts import visdom_assets
from util.cache_folder import cache_folder
from util.cli.arguments import Arguments
from util.cli.flag_types import names
from util.errors import RunFault, UserError, run
from util.files import make_folder
from util.log import info, warn

HOW_TO_INSTALL = "make setup, or: PIP_CONSTRAINT=constraints.txt pip install -r requirements-visdom.txt"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# After a restart of the server, visdom's page stays offline until somebody clicks its red button. This script
# clicks the button, unless the user went offline with the same button.
RECONNECT = """<script>
var wanted = true;
document.addEventListener("click", function (event) {
  var text = event.target.textContent.trim();
  if (event.isTrusted && event.target.tagName === "BUTTON" && /^(on|off)line$/.test(text))
    wanted = text === "offline";
}, true);
setInterval(function () {
  var button = document.querySelector("button.btn-danger");
  if (wanted && button && button.textContent.trim() === "offline") button.click();
}, 2000);
</script>
"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Arguments(__doc__)
    add = parser.add_argument
    add("--port", type=int, default=8097, help="port to listen on, the --display_port of train.py (8097)")
    add("--hostname", default="127.0.0.1", help="address to listen on (127.0.0.1); 0.0.0.0 = all")
    about = "host names, separated by commas, under which other machines may open the page (none)"
    add("--allow_hosts", type=names, default=[], metavar="NAMES", help=about)
    add("--env_path", default="~/.visdom", help="folder of saved environments (~/.visdom)")
    add("--assets", type=Path, help="folder or archive of web files, made by --export")
    add("--export", type=Path, metavar="FILE", help="write the web files to a .tar.gz or .zip file and exit")
    add("--install_only", action="store_true", help="install the web files and exit")
    return parser.parse_args(arguments)


def check_packages() -> str:
    """-> the version of visdom; UserError if it is missing, or tornado has a version that does not work."""
    try:
        version = metadata.version("visdom")
        tornado = metadata.version("tornado")
    except metadata.PackageNotFoundError as error:
        raise UserError(f"the package {error.name} is missing: install it with {HOW_TO_INSTALL}") from error
    if tuple(int(part) for part in tornado.split(".")[:2]) >= (6, 6):
        raise UserError(
            f"with tornado {tornado}, visdom's page answers 403: install an older version with pip install 'tornado<6.6'"
        )
    return version


def take_port(hostname: str, port: int) -> list[socket.socket]:
    """-> listening sockets, opened before anything slow; UserError if that fails."""
    from tornado.netutil import bind_sockets

    if not 0 < port < 65536:
        raise UserError(f"--port {port} must lie between 1 and 65535")
    try:
        return bind_sockets(port, address=hostname)
    except (socket.gaierror, UnicodeError) as error:
        raise UserError(
            f"--hostname {hostname} is not an address of this machine: leave the flag out"
        ) from error
    except OSError as error:
        raise UserError(
            f"--port {port} of {hostname} cannot be opened ({os.strerror(error.errno or 0).lower()}): choose another "
            "--port and give train.py the same --display_port, or end the program that uses it"
        ) from error


def find_static() -> Path:
    """The folder of visdom's web files, found without importing visdom, which would import torch."""
    return Path(str(metadata.distribution("visdom").locate_file("visdom/static")))


def prepare_static(version: str, assets: Path | None) -> Path:
    """-> a complete `static` folder: visdom's own, or a copy in the user's cache if that one is read-only."""
    packaged = find_static()
    cache = cache_folder(f"visdom-{version}")
    for static in (packaged, cache):
        if visdom_assets.is_complete(static, version):
            return static
    static = packaged if os.access(packaged, os.W_OK) else cache
    files = visdom_assets.from_path(assets) if assets else visdom_assets.from_npm()
    if static is cache:
        try:
            shutil.copytree(packaged, cache, dirs_exist_ok=True, copy_function=shutil.copyfile)
        except OSError as error:
            raise RunFault(
                f"cannot write visdom's web files to {packaged} or to {cache}: make one of them writable"
            ) from error
    visdom_assets.install(files, static, version)
    info(f"visdom: web files installed in {static}")
    return static


def address(hostname: str, port: int) -> str:
    if hostname not in LOOPBACK:
        warn(f"visdom has no password: everyone who can reach {hostname}:{port} can see and change its pages")
    shown = socket.gethostname() if hostname in ("", "0.0.0.0", "::") else hostname
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def is_trusted(headers: Mapping[str, str], hosts: Collection[str], *, remote: bool) -> bool:
    """Whether a request comes from visdom's own page or from a program, and not from another page in the browser.

    Host: one of `hosts`, or the address of a machine (with `remote` of any, otherwise of this one). A web site whose
    name has been pointed at this machine is refused ("DNS rebinding"). Origin: the page that is itself served under
    this Host. Browsers leave it out in simple requests, but tell with Sec-Fetch-Site where those come from.
    """
    host = headers.get("Host", "").lower()
    name = (urlsplit(f"//{host}").hostname or "") if not set(host) & set("/?#@\\ ") else ""
    if name not in hosts:
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        if not (remote or address.is_loopback):
            return False
    origin = headers.get("Origin")
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        return False
    is_visit = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
    return headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin") or is_visit


def serve(sockets: list[socket.socket], static: Path, options: argparse.Namespace, where: str) -> None:
    """Serve until a signal comes, without the downloads of visdom's own start."""
    from tornado.httpserver import HTTPServer
    from tornado.httputil import HTTPServerRequest
    from tornado.template import DictLoader
    from tornado.web import ErrorHandler
    from visdom.server import app as visdom_app

    pages = {page.name: page.read_text(encoding="utf-8") for page in static.glob("*.html")}
    pages["index.html"] = pages["index.html"].replace("</body>", f"{RECONNECT}</body>")
    visdom_app.tornado_settings.update(
        static_path=str(static),
        template_loader=DictLoader(pages, autoescape=None),
        autoreload=False,  # would restart the server whenever a source file changes
    )
    # the page requests a style sheet that does not exist, and tornado would log this every time
    logging.getLogger("tornado.general").setLevel(logging.CRITICAL)
    remote = options.hostname not in LOOPBACK
    hosts = {"localhost", options.hostname.lower(), *map(str.lower, options.allow_hosts)}
    hosts |= {socket.gethostname().lower()} if remote else set()

    class Guarded(visdom_app.Application):
        def find_handler(self, request: HTTPServerRequest, **settings: Any) -> Any:
            if is_trusted(request.headers, hosts, remote=remote):
                return super().find_handler(request, **settings)
            return self.get_handler_delegate(request, ErrorHandler, {"status_code": 403})

    application = Guarded(port=options.port, env_path=options.env_path)
    server = HTTPServer(application, max_buffer_size=1024**3)  # as visdom's own server allows

    async def forever() -> None:
        server.add_sockets(sockets)
        info(f"visdom: open {where} (Ctrl-C ends the server)")
        await asyncio.Event().wait()

    asyncio.run(forever())


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = parse()
    try:
        version = check_packages()
        if options.install_only or options.export:
            static = prepare_static(version, options.assets)
            if options.export:
                visdom_assets.export(static, options.export)
                info(f"visdom: wrote the web files; install them elsewhere with --assets {options.export}")
            return 0
        sockets = take_port(options.hostname, options.port)
        env_path = Path(options.env_path).expanduser()
        writable(env_path, "--env_path")
        options.env_path = str(make_folder(env_path))
        static = prepare_static(version, options.assets)
        where = address(options.hostname, options.port)
        serve(sockets, static, options, where)
    except KeyboardInterrupt:
        info("visdom: server ended")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
