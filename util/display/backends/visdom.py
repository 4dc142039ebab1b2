"""Panels and curves on a visdom page, sent by a thread: a server that is absent, slow or dying costs no time.

What is to be seen is kept as a state (the curves so far, the newest panels) and not as a queue of messages:
the thread sends the state as often as the server takes it, so nothing piles up, and a server that was away
gets everything again.
"""

import base64
import html
import io
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from torch import Tensor

from util.clock import Clock
from util.display.backends.base import Backend
from util.display.loss_history import History
from util.imaging.images import sheet, to_uint8
from util.log import info, warn

if TYPE_CHECKING:
    from visdom import Visdom

PACE_S, EASE = 0.5, 10  # rest between two sendings: at least so long, and so many times what the last took
RETRY_S, MAX_RETRY_S = 10.0, 60.0
FLUSH_S = 2.0
PATIENCE = 5  # a busy server may take so many times longer to answer than a probe allows
WITHOUT = "training goes on and looks for it now and then; start one with: python scripts/visdom_server.py"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
GAP, LABEL, FRAME = 8, 22, 8  # pixels: between panels, a label, what visdom puts around a pane
PLOT_SIZE = {"width": 600, "height": 300, "margintop": 30, "marginbottom": 45, "marginright": 20}


class Lost(Exception):
    """The server is not there, does not answer in time, or refuses."""


@dataclass(frozen=True, eq=False)
class Panels:
    """label -> picture (H, W, 1 | 3 | 4) uint8: in the computer's memory, never in the accelerator's."""

    title: str
    pictures: dict[str, np.ndarray]


def by_plot(series: dict[str, tuple[list[float], list[float]]]) -> dict[str, dict[str, np.ndarray]]:
    """name -> (xs, ys) becomes plot -> name -> points (n, 2); gammas would be flat among losses."""
    plots: dict[str, dict[str, np.ndarray]] = {}
    for name, points in series.items():
        if points[0]:
            plot = plots.setdefault("gammas" if name.startswith("gamma") else "losses", {})
            plot[name] = np.array(points).T
    return plots


def panels_html(pictures: dict[str, np.ndarray], *, ncols: int, winsize: int) -> tuple[str, dict[str, int]]:
    """The panels row by row under their labels, each `winsize` pixels wide, and the size of a pane for them."""
    heights = [round(winsize * picture.shape[0] / picture.shape[1]) for picture in pictures.values()]
    columns = min(ncols, len(pictures))
    rows = [max(heights[start : start + columns]) for start in range(0, len(heights), columns)]
    figures = "".join(_figure(label, picture, winsize) for label, picture in pictures.items())
    grid = f"display:grid;gap:{GAP}px;padding:{GAP}px;grid-template-columns:repeat({columns},{winsize}px)"
    width = columns * (winsize + GAP) + GAP + FRAME
    height = sum(rows) + len(rows) * (LABEL + GAP) + GAP + FRAME
    return f'<div style="{grid}">{figures}</div>', {"width": width, "height": height}


def _figure(label: str, picture: np.ndarray, winsize: int) -> str:
    stream = io.BytesIO()
    image = Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture)
    image.save(stream, format="PNG", compress_level=1)  # the way is short, the processor busy with training
    link = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
    # enlarged pixels stay squares, so that what the net drew can be told from what the browser smoothed
    rendering = "pixelated" if winsize >= 2 * picture.shape[1] else "auto"
    return (
        f'<figure style="margin:0"><figcaption style="height:{LABEL}px">{html.escape(label)}</figcaption>'
        f'<img src="{link}" width="{winsize}" style="image-rendering:{rendering}"></figure>'
    )


def connect(server: str, port: int, env: str, probe_s: float) -> "Visdom":
    """visdom's client without its threads, prints and endless waits. Raises Lost, as all its calls then do."""
    import requests
    from visdom import Visdom

    logging.getLogger("visdom").setLevel(logging.CRITICAL)
    session = requests.Session()
    # a proxy set for the internet does not know this machine's own servers
    session.trust_env = urlsplit(server if "//" in server else f"//{server}").hostname not in LOOPBACK
    wait_s = probe_s

    class Client(Visdom):
        def _handle_post(self, url: str, data: str | None = None) -> str:
            try:
                answer = session.post(url, data=data, timeout=(probe_s, wait_s))
            except requests.RequestException as error:
                raise Lost("no answer") from error
            if not answer.ok:
                raise Lost(f"it answers {answer.status_code}")
            return answer.text

    client = Client(server=server, port=port, env=env, use_incoming_socket=False, raise_exceptions=True)
    wait_s = PATIENCE * probe_s
    return client


class VisdomBackend(Backend):
    """Shows a run on the page of the visdom server at `server`:`port`, in the environment `env`.

    ncols > 0 puts the panels into one pane of so many columns, ncols <= 0 each into its own; winsize is a
    panel's width in pixels; probe_s the seconds to wait for a connection; `history` the curves of a resumed
    run so far. No call waits for the server, and no fault of it is an error: one warning tells that it is
    lost, a line that it is there, and then it gets all panels and curves again.
    """

    def __init__(
        self,
        *,
        server: str,
        port: int,
        env: str,
        ncols: int,
        winsize: int,
        name: str,
        probe_s: float = 2.0,
        history: History | None = None,
    ) -> None:
        self._address = f"{server}:{port}"
        self._env = env
        self._connect = partial(connect, server, port, env, probe_s)
        self._ncols, self._winsize, self._name = ncols, winsize, name
        self._history = history or History()
        self._panels: Panels | None = None
        self._lock = threading.Lock()
        self._news, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._installed = _is_installed()

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        if self._installed:
            with self._lock:
                self._history.add(clock.images, values)
            self._tell()

    def images(self, images: Mapping[str, Tensor], clock: Clock) -> None:
        if self._installed and images:
            pictures = {label: sheet(to_uint8(batch)) for label, batch in images.items()}
            title = f"{self._name}: epoch {clock.epoch}, {clock.images:,} images"
            with self._lock:
                self._panels = Panels(title, pictures)
            self._tell()

    def close(self) -> None:
        """Give the thread 2 s to send what is new, then leave it behind."""
        self._closing.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join(FLUSH_S)

    def _tell(self) -> None:
        self._news.set()
        # not earlier: the workers of the data loader are forked before anything is shown
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="visdom", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            self._send_until_closed()
        except Exception as error:  # the outermost line of a thread: beyond it only a traceback is left
            warn(f"visdom: no more panels and curves in this run: {type(error).__name__}: {error}")

    def _send_until_closed(self) -> None:
        client, shown, retry_s = None, None, RETRY_S
        lost: bool | None = None  # None: not yet tried
        while True:
            self._news.wait()
            self._news.clear()
            last, start_s = self._closing.is_set(), time.monotonic()
            try:
                client = client or self._connect()
                shown = self._send(client, shown)
                if lost is not False:
                    info(f"visdom: panels and curves at {self._address}/env/{self._env}")
                lost, retry_s = False, RETRY_S
                rest_s = min(max(PACE_S, EASE * (time.monotonic() - start_s)), RETRY_S)
            except Lost as error:
                if not lost:
                    warn(f"visdom: no server at {self._address} ({error}); {WITHOUT}")
                client, shown, lost = None, None, True
                rest_s, retry_s = retry_s, min(2 * retry_s, MAX_RETRY_S)
                self._news.set()
            if last or (self._closing.wait(rest_s) and lost):
                return

    def _send(self, client: "Visdom", shown: Panels | None) -> Panels | None:
        """Send all curves, and the panels if they are not those `shown`; returns the panels now shown."""
        with self._lock:
            panels = self._panels
            series = {name: (list(s.xs), list(s.ys)) for name, s in self._history.series.items()}
        for plot, curves in by_plot(series).items():
            self._send_plot(client, plot, curves)
        panes = self._panes(panels) if panels else {}
        # a server restarted between two sendings takes the second without a word, but has lost the first
        if panels and (panels is not shown or not client.win_exists(next(iter(panes)))):
            for win, pictures in panes.items():
                content, size = panels_html(pictures, ncols=max(self._ncols, 1), winsize=self._winsize)
                client.text(content, win=win, opts={"title": panels.title, **size})
        return panels

    def _panes(self, panels: Panels) -> dict[str, dict[str, np.ndarray]]:
        """window -> its pictures by label."""
        if self._ncols > 0:
            return {f"{self._name}_panels": panels.pictures}
        return {f"{self._name}_{label}": {label: picture} for label, picture in panels.pictures.items()}

    def _send_plot(self, client: "Visdom", plot: str, curves: dict[str, np.ndarray]) -> None:
        lengths = [len(points) for points in curves.values()]
        opts = {
            "title": f"{self._name}: {plot}",
            "legend": list(curves),
            "mode": "lines" if min(lengths) > 1 else "lines+markers",  # one point makes no line
            "xlabel": "images",
            "layoutopts": {"plotly": {"title": None}},  # the pane has the title already
            **PLOT_SIZE,
        }
        labels = np.repeat(np.arange(len(curves)) + 1, lengths)
        client.scatter(np.concatenate(list(curves.values())), labels, win=f"{self._name}_{plot}", opts=opts)


def _is_installed() -> bool:
    """Whether visdom can be imported."""
    Image.preinit()  # here, not in the thread: a data worker forked amid an import waits for its lock for ever
    try:
        import visdom  # noqa: F401
    except ImportError as error:
        warn(f"visdom: no panels and curves on its page ({error}); install it with make setup")
        return False
    return True
