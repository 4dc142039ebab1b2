"""Image panels and loss curves on a visdom page.

A thread sends them, so that a missing or slow server does not slow down training. The backend keeps the current
state (all curves, the newest images) instead of a queue of messages: memory stays bounded without a server, and a
server that starts later receives everything. Messages are HTTP posts of JSON like those of visdom's own client,
which has no timeouts.
"""

import base64
import html
import io
import json
import threading
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
from PIL import Image
from torch import Tensor

from util.clock import Clock
from util.display.backends.base import Backend
from util.imaging.images import sheet, to_uint8
from util.log import info, warn
from util.pages.loss_history import History, Point
from util.run.lifecycle import Run

TIMEOUT_S = 10.0  # for an answer of the server
PAUSE_S, PAUSE_FACTOR = 0.5, 10  # pause after sending: at least PAUSE_S, and this many times the sending time
RETRY_S, MAX_RETRY_S = 10.0, 60.0
CLOSE_S = 2.0  # time to send the last changes at the end of the run
HINT = "training continues and looks for it again; to start a server: python scripts/visdom_server.py"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
GAP, LABEL, FRAME = 8, 22, 8  # pixels: between images, height of a label, visdom's frame around a pane
PLOT_SIZE = {"width": 600, "height": 300}
PLOT_LAYOUT = {
    "showlegend": True,
    "margin": {"l": 60, "r": 20, "t": 30, "b": 45},
    "xaxis": {"title": "images"},
}


def images_html(images: Mapping[str, np.ndarray], *, ncols: int, width: int) -> tuple[str, dict[str, int]]:
    """Return images (H, W, C) uint8 and labels as a grid in HTML, `width` pixels per image, and its pane's size."""
    columns = min(ncols, len(images))
    heights = [round(width * image.shape[0] / image.shape[1]) for image in images.values()]
    rows = [max(heights[start : start + columns]) for start in range(0, len(heights), columns)]
    figures = "".join(_figure(label, image, width) for label, image in images.items())
    style = f"display:grid;gap:{GAP}px;padding:{GAP}px;grid-template-columns:repeat({columns},{width}px)"
    height = sum(rows) + len(rows) * (LABEL + GAP) + GAP + FRAME
    return f'<div style="{style}">{figures}</div>', {
        "width": columns * (width + GAP) + GAP + FRAME,
        "height": height,
    }


def _figure(label: str, image: np.ndarray, width: int) -> str:
    stream = io.BytesIO()
    picture = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    picture.save(stream, format="PNG", compress_level=1)  # the network is fast, and training needs the CPU
    link = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
    # without smoothing by the browser, which could be mistaken for the network's
    rendering = "pixelated" if width >= 2 * image.shape[1] else "auto"
    return (
        f'<figure style="margin:0"><figcaption style="height:{LABEL}px">{html.escape(label)}</figcaption>'
        f'<img src="{link}" width="{width}" style="image-rendering:{rendering}"></figure>'
    )


def plot_message(title: str, curves: Mapping[str, Sequence[Point]]) -> dict:
    """Return a plot of name -> points in the format of `visdom.Visdom.scatter`."""
    mode = "lines" if min(map(len, curves.values())) > 1 else "lines+markers"  # a single point needs a marker
    marker = {"size": 10, "symbol": "dot", "line": {"color": "#000000", "width": 0.5}}
    style = {"type": "scatter", "mode": mode, "textposition": "right", "line": {}, "marker": marker}
    data = [
        {"x": [x for x, *_ in points], "y": [y for _, y, *_ in points], "name": name, **style}
        for name, points in curves.items()
    ]
    return {"data": data, "layout": PLOT_LAYOUT, "opts": {"title": title, **PLOT_SIZE}}


class VisdomBackend(Backend):
    """Shows a run on the page of the server --display_server:--display_port, in --display_env.

    With --display_ncols > 0 the images share a pane with that many columns; otherwise each has its own pane.
    No method waits for the server. The log reports when the server is found, and warns when it is lost.
    """

    def __init__(self, opt: Namespace, run: Run, images_per_epoch: int) -> None:
        parts = urlsplit(opt.display_server if "//" in opt.display_server else f"http://{opt.display_server}")
        self._url = f"{parts.scheme}://{parts.netloc}:{opt.display_port}"
        # a proxy cannot reach servers of this machine
        self._opener = build_opener(*([ProxyHandler({})] if parts.hostname in LOOPBACK else []))
        self._env, self._name = opt.display_env, opt.name
        self._ncols, self._width = opt.display_ncols, opt.display_winsize
        self._lock = threading.Lock()  # guards the history, the title and the images
        self._history = History.of_run(run)
        self._title, self._images = "", dict[str, np.ndarray]()
        self._sent: object = None  # the images that the server has
        self._changed, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        Image.preinit()  # a data worker forked while the thread imports modules would wait forever for the lock

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        with self._lock:
            self._history.add(clock.images, values)
        self._notify()

    def images(self, images: Mapping[str, Tensor], clock: Clock) -> None:
        pictures = {label: sheet(to_uint8(batch)) for label, batch in images.items()}
        with self._lock:
            self._title = f"{self._name}: epoch {clock.epoch}, {clock.images:,} images"
            self._images = pictures
        self._notify()

    def close(self) -> None:
        """Give the thread CLOSE_S seconds to send the last changes."""
        self._closing.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def _notify(self) -> None:
        self._changed.set()
        # started late, after the workers of the data loader are forked
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_until_closed, name="visdom", daemon=True)
            self._thread.start()

    def _send_until_closed(self) -> None:
        connected: bool | None = None  # None: not tried yet
        retry_s = RETRY_S
        while True:
            self._changed.wait()
            self._changed.clear()
            closing, start_s = self._closing.is_set(), time.monotonic()
            try:
                self._send_state()
                if not connected:
                    info(f"visdom: images and curves at {self._url}/env/{self._env}")
                connected, retry_s = True, RETRY_S
                pause_s = min(max(PAUSE_S, PAUSE_FACTOR * (time.monotonic() - start_s)), RETRY_S)
            except (OSError, HTTPException) as error:
                if connected is not False:
                    reason = f"it answers {error.code}" if isinstance(error, HTTPError) else "no answer"
                    warn(f"visdom: no server at {self._url} ({reason}); {HINT}")
                connected, self._sent = False, None
                pause_s, retry_s = retry_s, min(2 * retry_s, MAX_RETRY_S)
                self._changed.set()
            except Exception as error:  # a bug
                warn(f"visdom: switched off for the rest of this run: {type(error).__name__}: {error}")
                return
            if closing or (self._closing.wait(pause_s) and not connected):
                return

    def _send_state(self) -> None:
        """Send all curves, and the images unless the server has them."""
        with self._lock:
            title, images = self._title, self._images
            curves = {name: list(series.points) for name, series in self._history.series.items()}
        for plot, is_gamma in (("losses", False), ("gammas", True)):  # gammas would be flat among losses
            chosen = {name: xy for name, xy in curves.items() if xy and name.startswith("gamma") == is_gamma}
            if chosen:
                self._post("events", f"{self._name}_{plot}", plot_message(f"{self._name}: {plot}", chosen))
        panes = {f"{self._name}_{label}": {label: image} for label, image in images.items()}
        if self._ncols > 0:
            panes = {f"{self._name}_panels": images}
        # a server that has restarted since the last call has lost the images
        if images and (images is not self._sent or self._post("win_exists", next(iter(panes))) == "false"):
            for win, pictures in panes.items():
                content, size = images_html(pictures, ncols=max(self._ncols, 1), width=self._width)
                pane = {"data": [{"content": content, "type": "text"}], "opts": {"title": title, **size}}
                self._post("events", win, pane)
        self._sent = images

    def _post(self, endpoint: str, win: str, message: Mapping[str, object] | None = None) -> str:
        """Post a message about a window, and return the answer."""
        body = json.dumps({"win": win, "eid": self._env, **(message or {})}).encode()
        request = Request(f"{self._url}/{endpoint}", body, {"Content-Type": "application/json"})
        with self._opener.open(request, timeout=TIMEOUT_S) as answer:
            return answer.read().decode()
