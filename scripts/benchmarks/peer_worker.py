"""The process of a peer: builds its model as its own train.py does, and makes a step whenever it is asked to.

Run by peers.py with a job as JSON and a folder to work in. It writes one line of JSON when it is ready and
one for each step, and ends when its input does. What the peer itself prints goes nowhere.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from scripts.benchmarks.gauge import Gauge

NEVER = 10**12  # steps between what a peer would like to print, draw and save


class Requests:
    """Ends a step and waits for the request of the next one."""

    def __init__(self, answers: IO[str], gauge: Gauge) -> None:
        self.answers, self.gauge = answers, gauge
        self._answer: Callable[[], dict[str, object]] = lambda: {"ready": True}

    def next(self) -> None:
        """Tell what the last step took, and return when the next one is to begin; the process ends where none is."""
        self.answers.write(json.dumps(self._answer()) + "\n")
        self.answers.flush()
        self._answer = lambda: vars(self.gauge.stop())
        request = sys.stdin.readline()
        if not request:
            os._exit(0)  # not SystemExit, which a peer may catch
        self.gauge.start(memory=request == "memory\n")


def main() -> None:
    job, folder = json.loads(sys.argv[1]), sys.argv[2]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    path = Path(job["path"])
    # the peer's own packages from here on; what we need of ours is loaded
    sys.path[:] = [str(path), *(entry for entry in sys.path if Path(entry or ".").resolve() != Path.cwd())]
    os.chdir(folder)
    sys.argv = ["train.py", *job["words"]]
    try:
        PEERS[job["kind"]](job, Requests(answers, Gauge(job["device"])))
    except ImportError as error:
        package = error.name or str(error)
        answers.write(json.dumps({"package": package}) + "\n")
    except Exception as error:
        answers.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")


def cycle_gan(job: dict[str, Any], requests: Requests) -> None:
    """set_input() and optimize_parameters(), as its training loop calls them."""
    import torch

    words = Path(job["path"], "options/base_options.py").read_text()
    if "--gpu_ids" in words:  # newer checkouts find the device on their own
        sys.argv += ["--gpu_ids", "0" if job["device"] == "cuda" else "-1"]
    from models import create_model
    from options.train_options import TrainOptions

    opt = TrainOptions().parse()
    if not hasattr(opt, "device"):
        opt.device = torch.device(job["device"])
    model: Any = create_model(opt)
    model.setup(opt)
    batch = _batch(job)
    while True:
        requests.next()
        model.set_input(batch)
        model.optimize_parameters()


def sagan(job: dict[str, Any], requests: Requests) -> None:
    """Its Trainer.train(), which takes from us, as its data loader, a batch at each request."""
    from parameter import get_parameters
    from trainer import Trainer

    if job["device"] == "cpu":  # its code asks for the GPU without looking for one
        import torch

        torch.nn.Module.cuda = lambda self, device=None: self  # type: ignore[method-assign]
        torch.Tensor.cuda = lambda self, *args, **options: self  # type: ignore[method-assign]

    config = get_parameters()
    config.log_step = config.sample_step = config.model_save_step = config.total_step = NEVER
    batch = _batch(job)
    Trainer(Feed(requests, (batch["image"], batch["label"])), config).train()


class Feed:
    """A data loader of one batch, given whenever a step is asked for."""

    def __init__(self, requests: Requests, batch: tuple[Any, Any]) -> None:
        self.requests, self.batch = requests, batch

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        while True:
            self.requests.next()
            yield self.batch


def biggan(job: dict[str, Any], requests: Requests) -> None:
    """The training function of train_fns.py, which makes all steps of D and one of G."""
    import train_fns
    import utils

    device = job["device"]
    config = vars(utils.prepare_parser().parse_args())
    config["resolution"] = utils.imsize_dict[config["dataset"]]
    config["n_classes"] = utils.nclass_dict[config["dataset"]]
    for net in ("G", "D"):
        config[f"{net}_activation"] = utils.activation_dict[config[f"{net}_nl"]]
    package: Any = __import__(config["model"])
    G, D = package.Generator(**config).to(device), package.Discriminator(**config).to(device)
    averaged = package.Generator(**(config | {"skip_init": True, "no_optim": True})).to(device)
    ema = utils.ema(G, averaged, config["ema_decay"], config["ema_start"])
    z, y = utils.prepare_z_y(config["batch_size"], G.dim_z, config["n_classes"], device=device)
    state = {"itr": 0}
    train = train_fns.GAN_training_function(G, D, package.G_D(G, D), z, y, ema, state, config)
    import torch

    torch.backends.cudnn.benchmark = True  # as its train.py does
    batch = _batch(job)
    images, labels = (torch.cat([batch[key]] * job["steps"]).to(device) for key in ("image", "label"))
    while True:
        requests.next()
        state["itr"] += 1
        for net in (G, D, averaged):
            net.train()
        train(images, labels)


def _batch(job: dict[str, Any]) -> dict[str, Any]:
    import torch

    batch: dict[str, Any] = torch.load(job["batch"], weights_only=True)
    return {key: value.to(job["device"]) if hasattr(value, "to") else value for key, value in batch.items()}


PEERS: dict[str, Callable[[dict[str, Any], Requests], None]] = {
    "cycle_gan": cycle_gan,
    "sagan": sagan,
    "biggan": biggan,
}

if __name__ == "__main__":
    main()
