"""scripts/benchmark.py: who runs when, what is made of the times, and whom it recognises; no time is judged here."""

import json
import subprocess
import tempfile
import textwrap
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
from conftest import load_script

from models import networks
from scripts.benchmarks import attention, measure, peers, photos, starting, table
from scripts.benchmarks.entries import ENTRIES, Entry
from scripts.benchmarks.gauge import Gauge, Reading
from scripts.benchmarks.measure import Case, Form, Result
from scripts.benchmarks.setting import Setting
from scripts.benchmarks.steps import sampling_case, step_case
from util.errors import UserError

Run = Callable[..., int]
TINY = "--ngf 8 --ndf 8 --netG resnet_6blocks --load_size 32 --crop_size 32".split()
benchmark = load_script("scripts/benchmark.py")


def scripted(seconds: list[float], log: list[str], name: str, peak: float | None = 1.0) -> Form:
    """A form that says what is in the list, and writes down that it ran."""
    left = iter(seconds)

    def run(memory: bool) -> Reading:
        log.append(name.upper() if memory else name)
        return Reading(0, peak) if memory else Reading(next(left))

    return run


def measured(fast: list[float], slow: list[float], **more: object) -> tuple[Result, str]:
    """Three rounds after a warm-up whose times are the first ones; and the order of the runs, a letter each."""
    log: list[str] = []
    case = Case(scripted(fast, log, "f"), scripted(slow, log, "s", peak=3.0), "plain", **more)
    result = measure.measure("it", case, budget_s=0.0, ceiling=lambda: 100.0)
    return result, "".join(log)


def test_forms_take_turns_and_the_first_of_a_pair_changes() -> None:
    assert measured([9, 1, 1, 1], [9, 2, 2, 2])[1] == "fs" + "FS" + "sf" + "fs" + "sf"


def test_medians_leave_the_warm_up_out_and_ratios_are_of_pairs() -> None:
    result, _ = measured([99, 1, 2, 4], [99, 2, 8, 4])
    assert (result.seconds, result.baseline_seconds) == (2, 4)
    assert result.ratio == 2  # of 2, 4 and 1, and not of the medians by chance
    assert (result.ratio_low, result.ratio_high) == (1.5, 3)
    assert (result.peak_mib, result.baseline_peak_mib, result.rounds) == (1, 3, 3)


def test_the_ratio_is_the_median_of_pairs_and_not_a_ratio_of_medians() -> None:
    result, _ = measured([0, 1, 10, 3], [0, 3, 10, 3])
    assert (result.seconds, result.baseline_seconds, result.ratio) == (3, 3, 1)
    result, _ = measured([0, 1, 10, 4], [0, 9, 20, 3])
    assert (result.seconds, result.baseline_seconds, result.ratio) == (4, 9, 2)


def test_times_are_of_one_unit_and_rates_follow() -> None:
    result, _ = measured([0, 8, 8, 8], [0, 16, 16, 16], units=4, images=6, flops=50.0)
    assert (result.seconds, result.baseline_seconds, result.ratio) == (2, 4, 2)
    assert (result.images_per_s, result.baseline_images_per_s) == (3, 1.5)
    assert result.gflops == pytest.approx(25e-9) and result.of_ceiling == pytest.approx(0.25)


def test_it_goes_on_until_the_time_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(now))
    log: list[str] = []
    case = Case(scripted([1.0] * 50, log, "f"), scripted([1.0] * 50, log, "s"), "plain")
    # the clock is read once at the start and, from the fourth round on, before each round
    assert measure.measure("it", case, budget_s=5.0, ceiling=float).rounds == 3 + 4


def test_more_runs_may_warm_up() -> None:
    log: list[str] = []
    case = Case(scripted([1.0] * 9, log, "f"), scripted([1.0] * 9, log, "s"), "plain", warm_ups=3)
    measure.measure("it", case, budget_s=0.0, ceiling=float)
    assert log[:8] == list("fffsssFS") and len(log) == 14


def test_without_a_baseline_its_numbers_are_none() -> None:
    log: list[str] = []
    result = measure.measure(
        "it", Case(scripted([0, 1, 2, 3], log, "f", None), None, "nothing"), budget_s=0.0, ceiling=float
    )
    assert result.seconds == 2 and log == list("fFfff")
    assert result.ratio is result.ratio_low is result.baseline_seconds is result.peak_mib is None
    assert " - " in table.row(result)


def test_flops_are_counted_while_the_plain_form_warms_up() -> None:
    a, b = torch.ones(2, 3), torch.ones(3, 5)

    def product(memory: bool) -> Reading:
        return Reading(float((a @ b).shape[0]))  # 2 seconds, and 2 * 2 * 3 * 5 operations

    case = Case(product, product, "plain", counted=True, units=2)
    assert measure.measure("it", case, budget_s=0.0, ceiling=lambda: 1.0).gflops == pytest.approx(30e-9)


def test_the_notes_are_asked_for_last() -> None:
    log: list[str] = []
    case = Case(scripted([1.0] * 4, log, "f"), None, "nothing", note=lambda: f"{len(log)} runs")
    assert measure.measure("it", case, budget_s=0.0, ceiling=float).note == "5 runs"


def test_a_row_stands_below_its_titles() -> None:
    result, _ = measured([0, 0.5, 0.5, 0.5], [0, 1, 1, 1], images=3)
    header, row = table.header(), table.row(result)
    assert row.index("plain") == header.index("beside")
    assert row.split()[:5] == ["it", "500.0", "1000.0", "2.00", "x"] and "2.00 to 2.00" in row
    for title, cell in (("images/s", "6.00"), ("quartiles", "2.00 to 2.00"), ("rounds", "3")):
        end = header.index(title) + len(title)
        assert row[:end].endswith(f" {cell}"), title


# ---------------------------------------------------------------------- gauge


def test_the_gauge_sees_memory_that_is_taken_and_given_back() -> None:
    gauge = Gauge("cpu")
    gauge.start(memory=True)
    torch.ones(32, 2**20).sum()  # 128 MiB
    reading = gauge.stop()
    assert reading.seconds > 0
    if reading.peak_mib is not None:  # Linux tells
        assert 120 < reading.peak_mib < 200


def test_on_cuda_the_gauge_waits_for_the_device_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name, value in {
        "synchronize": None,
        "reset_peak_memory_stats": None,
        "memory_allocated": 2**20,
        "max_memory_allocated": 5 * 2**20,
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda name=name, value=value: calls.append(name) or value)
    gauge = Gauge("cuda")
    gauge.start(memory=True)
    calls.append("work")
    assert gauge.stop().peak_mib == 4
    assert calls.index("reset_peak_memory_stats") < calls.index("synchronize") < calls.index("work")
    assert "synchronize" in calls[calls.index("work") :]


# ---------------------------------------------------------------------- the command


@pytest.fixture
def fake_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two entries that cost nothing; a peer has a counterpart of the first."""

    @contextmanager
    def make(setting: Setting) -> Iterator[Case]:
        log: list[str] = []
        yield Case(scripted([1.0] * 9, log, "f"), scripted([2.0] * 9, log, "s"), f"on {setting.device}")

    entries = {"one": Entry("the first", make, "sagan"), "two": Entry("the second", make, usual=False)}
    monkeypatch.setattr("scripts.benchmarks.entries.ENTRIES", entries)


def test_the_json_has_the_keys_that_were_promised(
    fake_entries: None, run_script: Run, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "made" / "times.json"
    assert run_script("scripts/benchmark.py", "--seconds", 0, "--only", "two", "one", "--json", file) == 0
    records = json.loads(file.read_text())
    assert [record["name"] for record in records] == ["two", "one"]
    promised = {"name", "seconds", "baseline_seconds", "ratio", "peak_mib", "baseline_peak_mib"}
    assert promised <= records[0].keys()
    assert (records[0]["seconds"], records[0]["baseline_seconds"], records[0]["ratio"]) == (1, 2, 2)
    out = capsys.readouterr().out
    assert "2.00 x" in out and "on cpu" in out


def test_without_names_the_usual_ones_run(
    fake_entries: None, run_script: Run, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run_script("scripts/benchmark.py", "--seconds", 0) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]]
    assert names == ["one"]


def test_the_list_names_everything(run_script: Run, capsys: pytest.CaptureFixture) -> None:
    assert run_script("scripts/benchmark.py", "--list") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(ENTRIES)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--only ones", "did you mean one?"),
        ("--compare /nowhere", "neither `plain` nor the folder"),
        ("--device mps", "invalid choice"),
        ("--second 3 4", "--help"),
        ("--only one --json /dev/null/times.json", "--json /dev/null: /dev/null is a file, not a folder"),
        ("--only one --json /tmp", "--json /tmp is a folder: name a file in it"),
    ],
)
def test_mistakes_are_told_in_one_sentence_before_anything_runs(
    fake_entries: None, run_script: Run, capsys: pytest.CaptureFixture, words: str, part: str
) -> None:
    assert run_script("scripts/benchmark.py", *words.split()) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("error: ") and error.count("\n") == 1 and part in error


def test_flags_may_be_one_word() -> None:
    opt = benchmark.parse(["--fast_flags", "--compile", "--seconds", "3", "--flags", "--ngf 8"])
    assert (opt.fast_flags, opt.flags, opt.seconds) == ("--compile", "--ngf 8", 3)
    with pytest.raises(UserError, match="--flags: expected one argument"):
        benchmark.parse(["--flags"])


def test_the_first_step_is_made_with_the_flags_of_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []
    monkeypatch.setattr(starting, "program", lambda words, folder: made.append(words))
    with starting.first_step_case(Setting(flags=["--ngf", "24"], fast_flags=["--compile"])):
        assert made[0][-3:] == ["--ngf", "24", "--compile"]


def test_flags_reach_both_sides_and_the_fast_ones_one(tmp_path: Path) -> None:
    setting = Setting(flags=["--ngf", "24"], fast_flags=["--amp", "bf16"])
    fast, plain = (
        setting.options("--model cycle_gan --ngf 8", fast=form, folder=str(tmp_path))
        for form in (True, False)
    )
    assert (fast.ngf, fast.amp, fast.fast) == (24, "bf16", "auto")
    assert (plain.ngf, plain.amp, plain.fast) == (24, "none", "off")


def test_the_acceptance_sizes_are_the_usual_ones(tmp_path: Path) -> None:
    """What the project promises is measured at these sizes."""
    sizes = {
        "cycle_gan_256": (256, 1),
        "cycle_gan_attn_256": (256, 1),
        "pix2pix_256": (256, 1),
        "sagan_64": (64, 64),
        "dcgan_64": (64, 128),
        "biggan_32": (32, 50),
    }
    for name, size in sizes.items():
        assert ENTRIES[name].usual
        seen: list[Namespace] = []
        setting = Setting(peer=None)
        keep = lambda words, seen=seen, **how: seen.append(Setting().options(words, **how)) or 1 / 0  # noqa: E731
        object.__setattr__(setting, "options", keep)
        with pytest.raises(ZeroDivisionError), ENTRIES[name].make(setting):
            pass
        assert (seen[0].crop_size, seen[0].batch_size) == size
        if name.startswith("cycle"):
            assert seen[0].netG == "resnet_9blocks" and seen[0].lambda_identity > 0
        if name == "biggan_32":
            assert (seen[0].n_critic, seen[0].ngf) == (4, 64)


# ---------------------------------------------------------------------- what is timed


def test_both_forms_of_a_step_learn_and_a_run_holds_the_generators_turn() -> None:
    words = "--model biggan --dataset_mode folder --n_classes 3 --n_critic 2 --ngf 8 --ndf 8 --batch_size 2"
    with step_case(f"{words} --crop_size 32")(Setting()) as case:
        assert (case.units, case.images, case.counted) == (2, 2, True)
        assert case.fast(False).seconds > 0 and case.baseline(False).seconds > 0


def test_generators_draw_in_both_forms() -> None:
    words = "--model sagan --dataset_mode folder --ngf 8 --ndf 8 --batch_size 2 --n_classes 3 --crop_size 32"
    with sampling_case(words, "G")(Setting()) as case:
        assert case.images == 2 and case.fast(False).seconds > 0 and case.baseline(False).seconds > 0


def test_the_attention_entries_compare_equal_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_room", lambda device: int(2.5 * attention.MAPS * 4 * 8**4))
    with attention.attention_case(8, 8, 4)(Setting()) as case:
        assert (case.images, case.note()) == (2, "both at batch 2: more would not fit")
        case.fast(False), case.baseline(False)
    layer = networks.SelfAttention2d(8)
    # products of 64 x 64 places over 1 + 8 channels, and 1x1 convolutions 8 -> 1, 1, 8
    assert attention._forward_flops(layer, 2, 8) == 2 * 2 * (64 * 64 * 9 + 64 * 80)


@pytest.mark.parametrize(("room", "count"), [(None, 4), (10**12, 4), (0, 1)])
def test_as_many_maps_as_fit(room: int | None, count: int) -> None:
    assert attention._fitting(4, 128, room) == count


def test_the_photographs_are_files_that_take_time_to_decode(tmp_path: Path) -> None:
    photos.write_photos(tmp_path, count=photos.DRAWN + 2, side=64)
    files = sorted((tmp_path / "trainA").iterdir())
    assert len(files) == len(list((tmp_path / "trainB").iterdir())) == photos.DRAWN + 2
    assert files[0].read_bytes() == files[photos.DRAWN].read_bytes() != files[1].read_bytes()
    assert files[0].stat().st_size > 64 * 64 // 2  # bytes: a smooth drawing would take a fifth


def test_a_program_is_timed_until_it_is_ready_and_its_failure_told(tmp_path: Path) -> None:
    late = "import time; print('benchmark: ready', flush=True); time.sleep(0.3)"
    assert starting.program(["-c", f"print('other'); {late}"], tmp_path)(memory=False).seconds > 0
    with pytest.raises(UserError, match=r"its imports failed: ValueError: no good"):
        starting.program(["-c", "raise ValueError('no good')"], tmp_path)(memory=False)


# ---------------------------------------------------------------------- peers

CHECKOUTS = {
    "cycle_gan": {
        "util/__init__.py": "",
        "util/util.py": "NAME = 'theirs'",
        "options/__init__.py": "",
        "options/base_options.py": "# has --gpu_ids",
        "options/train_options.py": """
            import argparse
            from util import util
            class TrainOptions:
                def parse(self):
                    parser = argparse.ArgumentParser()
                    parser.add_argument("--gpu_ids")
                    parser.add_argument("--crop_size", type=int)
                    opt, _ = parser.parse_known_args()
                    assert opt.gpu_ids == "-1" and util.NAME == "theirs", opt
                    return opt
        """,
        "models/__init__.py": """
            from models.cycle_gan_model import CycleGANModel
            def create_model(opt):
                print("a model was created")
                return CycleGANModel(opt)
        """,
        "models/cycle_gan_model.py": """
            class CycleGANModel:
                def __init__(self, opt):
                    self.opt, self.ready = opt, False
                def setup(self, opt):
                    self.ready = opt.device.type == "cpu"
                def set_input(self, batch):
                    self.side = batch["A"].shape[-1]
                    assert batch["A_paths"] == ["0.png"]
                def optimize_parameters(self):
                    assert self.ready and self.side == self.opt.crop_size
        """,
    },
    "sagan": {
        "sagan_models.py": """
            import torch
            class Generator(torch.nn.Linear):
                pass
        """,
        "parameter.py": """
            import argparse
            def get_parameters():
                parser = argparse.ArgumentParser()
                parser.add_argument("--batch_size", type=int)
                parser.add_argument("--adv_loss")
                return parser.parse_known_args()[0]
        """,
        "trainer.py": """
            from sagan_models import Generator
            class Trainer:
                def __init__(self, loader, config):
                    self.G, self.loader, self.config = Generator(2, 2).cuda(), loader, config
                def train(self):
                    batches = iter(self.loader)
                    assert int(self.config.model_save_step * len(self.loader)) > 1000
                    for step in range(self.config.total_step):
                        try:
                            images, _ = next(batches)
                        except:
                            batches = iter(self.loader)
                            images, _ = next(batches)
                        assert len(images) == self.config.batch_size and self.config.adv_loss == "hinge"
        """,
    },
    "biggan": {
        "BigGAN.py": """
            import torch
            class Generator(torch.nn.Linear):
                def __init__(self, G_ch, n_classes, resolution, G_activation, skip_init=False, **more):
                    super().__init__(G_ch, n_classes)
                    self.dim_z = resolution
            class Discriminator(torch.nn.Linear):
                def __init__(self, D_ch, **more):
                    super().__init__(D_ch, 1)
            def G_D(G, D):
                return G, D
        """,
        "utils.py": """
            import argparse
            imsize_dict, nclass_dict, activation_dict = {"C10": 32}, {"C10": 10}, {"relu": None}
            def prepare_parser():
                parser = argparse.ArgumentParser()
                for name, value in dict(dataset="", model="BigGAN", G_nl="relu", D_nl="relu").items():
                    parser.add_argument("--" + name, default=value)
                for name in ("G_ch", "D_ch", "batch_size", "num_D_steps", "dim_z"):
                    parser.add_argument("--" + name, type=int)
                for name in ("G_ortho", "SN_eps", "adam_eps", "G_attn", "D_attn"):
                    parser.add_argument("--" + name, type=float)
                for name in ("ema", "use_ema"):
                    parser.add_argument("--" + name, action="store_true")
                parser.set_defaults(ema_decay=0.9999, ema_start=0)
                return parser
            def ema(source, target, decay, start):
                return None
            def prepare_z_y(size, dim_z, classes, device):
                return size, classes
        """,
        "train_fns.py": """
            def GAN_training_function(G, D, GD, z_, y_, ema, state_dict, config):
                def train(x, y):
                    assert len(x) == len(y) == config["batch_size"] * config["num_D_steps"]
                    assert G.training and state_dict["itr"] > 0
                return train
        """,
    },
}
FITTING = {
    "cycle_gan": ["--model", "cycle_gan", *TINY],
    "sagan": "--model sagan --n_classes 0 --ngf 8 --ndf 8 --batch_size 2 --crop_size 64".split(),
    "biggan": "--model biggan --n_classes 10 --n_critic 2 --ngf 8 --ndf 8 --batch_size 2 --crop_size 32".split(),
}


def checkout(folder: Path, kind: str, **changed: str) -> Path:
    """A stub of a repository, with some files (dots for slashes) changed."""
    for name, text in (
        CHECKOUTS[kind] | {key.replace("__", "/") + ".py": text for key, text in changed.items()}
    ).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def options(kind: str, folder: Path) -> Namespace:
    words = [*FITTING[kind], *([] if kind == "cycle_gan" else ["--dataset_mode", "folder"])]
    return Setting().options(" ".join(words), fast=True, folder=str(folder))


def stepped(path: Path, kind: str, folder: Path) -> list[Reading]:
    """Two steps of a peer."""
    from scripts.benchmarks.setting import random_batch

    opt = options(kind, folder)
    batch = random_batch(opt, "cpu")
    with peers.stepping(peers.recognise(str(path)), opt, batch, folder=str(folder), device="cpu") as form:
        return [form(memory=True), form(memory=False)]


@pytest.mark.parametrize("kind", CHECKOUTS)
def test_a_peer_is_recognised_by_its_files_and_stepped_on_our_tensors(tmp_path: Path, kind: str) -> None:
    path = checkout(tmp_path / "theirs", kind)
    assert peers.recognise(str(path)) == peers.Peer(kind, path)
    readings = stepped(path, kind, tmp_path)
    assert all(reading.seconds > 0 for reading in readings)
    assert benchmark.choose([], peers.Peer(kind, path)) == [
        name for name, entry in ENTRIES.items() if entry.peer == kind and entry.usual
    ]


def test_our_own_checkout_is_no_peer(tmp_path: Path) -> None:
    for path in (Path(__file__).resolve().parents[1], tmp_path):
        with pytest.raises(UserError, match="neither `plain` nor the folder of a checkout"):
            peers.recognise(str(path))


def test_a_package_that_the_peer_misses_is_named(tmp_path: Path) -> None:
    path = checkout(tmp_path / "theirs", "sagan", sagan_models="import tensorboardZ")
    with pytest.raises(UserError, match="imports tensorboardZ, which is not there: pip install tensorboardZ"):
        stepped(path, "sagan", tmp_path)


def test_a_peer_that_fails_is_quoted(tmp_path: Path) -> None:
    path = checkout(tmp_path / "theirs", "biggan", train_fns="raise OSError('odd')")
    with pytest.raises(UserError, match="BigGAN-PyTorch does not run at these sizes: OSError: odd"):
        stepped(path, "biggan", tmp_path)


def test_a_peer_that_dies_is_told_of(tmp_path: Path) -> None:
    path = checkout(tmp_path / "theirs", "sagan", parameter="import os; os._exit(3)")
    with pytest.raises(UserError, match="its process ended in silence"):
        stepped(path, "sagan", tmp_path)


def test_a_peer_that_dies_between_steps_is_told_of() -> None:
    dead = ["sh", "-c", "echo no room >&2"]
    with tempfile.TemporaryFile("w+") as errors:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        child = subprocess.Popen(dead, text=True, bufsize=1, **pipes)
        child.wait()
        with pytest.raises(UserError, match="Self-Attention-GAN does not run at these sizes: no room"):
            peers._step(peers.Peer("sagan", Path()), child, errors, memory=False)
        with suppress(BrokenPipeError):
            child.stdin.close()
        child.stdout.close()


def test_what_a_peer_has_no_counterpart_of_is_refused() -> None:
    with pytest.raises(
        UserError, match="dcgan_64 has no counterpart in Self-Attention-GAN, which has sagan_64"
    ):
        benchmark.choose(["sagan_64", "dcgan_64"], peers.Peer("sagan", Path()))
    opt = Setting().options("--model sagan --crop_size 128", fast=True, folder="/tmp")
    with pytest.raises(UserError, match="64 pixels, not of --crop_size 128"):
        peers.WORDS["sagan"](opt, "/tmp")
