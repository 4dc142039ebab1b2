"""scripts/benchmark.py: the order of runs, what is computed from their times, and its command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import load_script, names_all, refused

from scripts.benchmarks import compute, files, measure, peers, starting
from scripts.benchmarks.entries import ENTRIES, Entry
from scripts.benchmarks.measure import Case, Form, Reading, Record, Setting
from util.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = "scripts/benchmark.py"
benchmark = load_script(SCRIPT)


def scripted(seconds: list[float], log: list[str], name: str, peak: float | None = 1.0) -> Form:
    """A form that reads the seconds of a list in turn, and logs each run."""
    left = iter(seconds)

    def run(memory: bool) -> Reading:
        log.append(name.upper() if memory else name)
        return Reading(0, peak) if memory else Reading(next(left))

    return run


def measured(fast: list[float], slow: list[float] | None, **more: object) -> tuple[Record, str]:
    """The record of three rounds, whose first times are a warm-up; and the order of the runs, a letter each."""
    log: list[str] = []
    forms = [scripted(fast, log, "f")] + ([] if slow is None else [scripted(slow, log, "s", peak=3.0)])
    record = measure.measure("it", Case(forms, "other", **more), seconds=0.0, warm_ups=3)
    return record, "".join(log)


def test_forms_alternate_and_so_does_the_first_of_each_pair() -> None:
    assert measured([9, 1, 1, 1], [9, 2, 2, 2])[1] == "fs" + "FS" + "sf" + "fs" + "sf"
    assert measured([1] * 9, [1] * 9, on_device=True)[1] == "fffsss" + "FS" + "sffssf"
    assert measured([1] * 9, None)[1] == "f" + "F" + "fff"


@pytest.mark.parametrize(
    ("fast", "slow", "seconds", "other_seconds", "ratios"),
    [
        ([99, 1, 2, 4], [99, 2, 8, 4], 2, 4, (1.5, 2, 3)),  # without the warm-up
        ([0, 1, 10, 3], [0, 3, 10, 3], 3, 3, (1, 1, 2)),
        ([0, 1, 10, 4], [0, 9, 20, 3], 4, 9, (1.375, 2, 5.5)),  # of pairs; that of the medians is 2.25
    ],
)
def test_the_ratio_is_the_median_over_pairs(
    fast: list, slow: list, seconds: float, other_seconds: float, ratios: tuple
) -> None:
    record, _ = measured(fast, slow)
    assert (record["seconds"], record["baseline_seconds"], record["rounds"]) == (seconds, other_seconds, 3)
    assert (record["ratio_low"], record["ratio"], record["ratio_high"]) == ratios
    assert (record["peak_mib"], record["baseline_peak_mib"]) == (1, 3)


def test_times_are_those_of_one_unit_and_rates_follow() -> None:
    record, _ = measured([0, 8, 8, 8], [0, 16, 16, 16], units=4, images=6)
    assert (record["seconds"], record["baseline_seconds"], record["ratio"]) == (2, 4, 2)
    assert (record["images_per_s"], record["baseline_images_per_s"]) == (3, 1.5)
    assert record["gflops"] is None


def test_rounds_continue_until_the_time_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(now))
    case = Case([scripted([1.0] * 50, [], "f")], "nothing")
    # the clock is read once at the start and, from the fourth round on, before each round
    assert measure.measure("it", case, seconds=5.0)["rounds"] == 3 + 4


def test_of_a_slow_entry_one_round_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 60.0])  # before and after the runs that do not count
    monkeypatch.setattr(measure.time, "monotonic", lambda: next(now))
    case = Case([scripted([30.0] * 9, [], "f"), scripted([60.0] * 9, [], "s")])
    record = measure.measure("it", case, seconds=0.0)
    assert (record["rounds"], record["ratio_low"], record["ratio"], record["ratio_high"]) == (1, 2, 2, 2)


def test_without_a_baseline_its_numbers_are_none() -> None:
    record, _ = measured([0, 1, 2, 3], None)
    assert record["seconds"] == 2
    assert record["ratio"] is record["ratio_low"] is record["baseline_seconds"] is None
    assert " - " in benchmark.row(record | {"of_ceiling": None})


def test_flops_are_counted_while_the_baseline_warms_up() -> None:
    def product(memory: bool) -> Reading:
        return Reading(float(len(torch.ones(2, 3) @ torch.ones(3, 5))))  # 2 seconds, 2 * 2 * 3 * 5 operations

    case = Case([lambda memory: Reading(2.0), product], on_device=True, units=2)
    record = measure.measure("it", case, seconds=0.0)
    assert record["gflops"] == pytest.approx(30e-9)


def test_a_row_is_aligned_with_its_titles() -> None:
    record, _ = measured([0, 0.5, 0.5, 0.5], [0, 1, 1, 1], images=3)
    header, row = benchmark.header(), benchmark.row(record | {"of_ceiling": 0.25})
    assert row.index("other") == header.index("against")
    cells = {"seconds": "0.5", "ratio": "2.00", "images/s": "6", "rounds": "3", "of best": "25%"}
    for title, cell in cells.items():
        assert row[: header.index(f" {title} ") + 1 + len(title)].endswith(f" {cell}"), title


def test_the_gauge_measures_peak_memory() -> None:
    reading = Setting("cpu").timed(lambda: torch.ones(32, 2**20).sum())(True)  # 128 MiB
    assert reading.seconds > 0
    assert reading.peak_mib is None or 120 < reading.peak_mib < 200  # None where it is not Linux


def test_on_cuda_the_gauge_waits_for_the_device_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    values = {
        "synchronize": 0,
        "reset_peak_memory_stats": 0,
        "memory_allocated": 1,
        "max_memory_allocated": 5,
    }
    for name, value in values.items():
        fake = lambda name=name, value=value: calls.append(name) or value * 2**20  # noqa: E731
        monkeypatch.setattr(torch.cuda, name, fake)
    assert Setting("cuda").timed(lambda: calls.append("work"))(True).peak_mib == 4
    before, after = calls[: calls.index("work")], calls[calls.index("work") :]
    assert before.index("reset_peak_memory_stats") < before.index("synchronize")
    assert "synchronize" in after


# ---------------------------------------------------------------------- the command


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, run_script: Callable[..., int]) -> Callable[..., int]:
    """Run the script on three quick entries: a peer can be compared on the first, and the last one fails."""

    def case(setting: Setting) -> Case:
        return Case([scripted([1.0] * 9, [], "f"), scripted([2.0] * 9, [], "s")], f"on {setting.device}")

    def failing(setting: Setting) -> Case:
        raise UserError("--flags odd")

    def broken(setting: Setting) -> Case:
        raise KeyError("a mistake of the peer")

    entries = {"one": Entry("", case, peer="sagan"), "two": Entry("", case, usual=False)}
    entries["bad"] = Entry("", failing, usual=False)
    entries["broken"] = Entry("", broken, usual=False)
    monkeypatch.setattr("scripts.benchmarks.entries.ENTRIES", entries)
    return lambda *words: run_script(SCRIPT, "--seconds", 0, *words)


def test_one_entry_that_fails_or_is_unknown_does_not_stop_the_others(
    run: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "new" / "times.json"
    assert run("--only", "bad", "broken", "two", "three", "one", "--json", file) == 2
    records = json.loads(file.read_text())
    assert [record["name"] for record in records] == ["two", "one"]
    assert (records[0]["seconds"], records[0]["baseline_seconds"], records[0]["ratio"]) == (1, 2, 2)
    assert {"peak_mib", "baseline_peak_mib", "images_per_s", "gflops", "of_ceiling"} <= records[0].keys()
    out, err = capsys.readouterr()
    assert names_all(out, ["2.00", "on cpu"]) and names_all(
        err, ["--only three", "bad", "--flags odd", "broken", "KeyError"]
    )


def test_help_imports_no_torch_and_a_missing_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch_is_missing')"
    )
    command = [sys.executable, SCRIPT]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = [
        subprocess.run(
            [*command, word], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
        )
        for word in ("--help", "--list")
    ]
    assert done[0].returncode == 0 and "--compare" in done[0].stdout and not done[0].stderr
    assert done[1].returncode == 2 and done[1].stderr.count("\n") == 1
    assert names_all(done[1].stderr, ["torch_is_missing", "pip"])


def test_without_names_the_usual_entries_run(run: Callable, capsys: pytest.CaptureFixture) -> None:
    assert run() == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == ["one"]


def test_the_list_names_every_entry(run_script: Callable[..., int], capsys: pytest.CaptureFixture) -> None:
    assert run_script(SCRIPT, "--list") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(ENTRIES)
    assert len(ENTRIES) == 36


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--only ones", ["--only ones", "one"]),
        ("--compare /nowhere", ["--compare /nowhere"]),
        (f"--compare {ROOT}", [f"--compare {ROOT}"]),  # this repository is none of the others
        ("--device mps", ["--device", "mps"]),
        ("--second 3 4", ["--help"]),
        ("--flags", ["--flags"]),
    ],
)
def test_mistakes_are_reported_before_anything_runs(
    run: Callable, capsys: pytest.CaptureFixture, words: str, named: list[str]
) -> None:
    assert run(*words.split()) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.startswith("error: ") and error.count("\n") == 1 and names_all(error, named)


@pytest.mark.parametrize("path", ["/dev/null/times.json", "/tmp"])
def test_a_file_that_cannot_be_written_is_reported_before_anything_runs(
    run: Callable, capsys: pytest.CaptureFixture, path: str
) -> None:
    assert run("--only", "one", "--json", path) == 1
    out, error = capsys.readouterr()
    assert out == "" and names_all(error, [path.removesuffix("/times.json")])


def test_the_value_of_flags_may_begin_with_dashes() -> None:
    opt = benchmark.parse(["--fast_flags", "--compile", "--seconds", "3", "--flags", "--ngf 8"])
    assert (opt.fast_flags, opt.flags, opt.seconds) == ("--compile", "--ngf 8", 3)


# ---------------------------------------------------------------------- what is timed


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    with ExitStack() as stack:
        yield Setting(folder=tmp_path, stack=stack)


def test_flags_reach_both_sides_and_the_fast_ones_only_one(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = replace(setting, flags=["--ngf", "24"], fast_flags=["--amp", "bf16"])
    fast, reference = (setting.options("--model cycle_gan --ngf 8", fast=form) for form in (True, False))
    assert (fast.ngf, fast.amp, fast.fast) == (24, "bf16", "auto")
    assert (reference.ngf, reference.amp, reference.fast) == (24, "none", "off")
    commands: list[list[str]] = []
    monkeypatch.setattr(starting, "program", lambda words, folder: commands.append(words))
    starting.first_step(setting)
    assert commands[-1][-4:] == ["--ngf", "24", "--amp", "bf16"]


def test_the_usual_entries_have_the_sizes_that_the_documentation_promises() -> None:
    sizes = {"cycle_gan_256": (256, 1), "cycle_gan_attn_256": (256, 1), "pix2pix_256": (256, 1)}
    sizes |= {"sagan_64": (64, 64), "dcgan_64": (64, 128), "biggan_32": (32, 50)}
    for name, size in sizes.items():
        opt = Setting().options(ENTRIES[name].arguments[0], fast=True)
        assert ENTRIES[name].usual and (opt.crop_size, opt.batch_size) == size
        if name.startswith("cycle"):
            assert opt.netG == "resnet_9blocks" and opt.lambda_identity > 0
    assert (opt.n_critic, opt.ngf) == (4, 64)


SMALL = "--dataset_mode folder --n_classes 3 --ngf 8 --ndf 8 --batch_size 2 --crop_size 32"


@pytest.mark.parametrize(
    ("make", "units"),
    [
        (lambda setting: compute.step(setting, f"--model biggan --n_critic 2 {SMALL}"), 2),
        (lambda setting: compute.sample(setting, f"--model sagan {SMALL}"), 1),
    ],
)
def test_both_forms_of_steps_and_samples_run(setting: Setting, make: Callable, units: int) -> None:
    case = make(setting)
    assert (case.units, case.images, case.on_device) == (units, 2, True)
    assert len(case.forms) == 2 and all(form(False).seconds > 0 for form in case.forms)


@pytest.mark.parametrize(
    ("maps", "images", "compared"), [(2.5, 2, True), (0.5, 4, False), (1e9, 4, True), (None, 4, True)]
)
def test_attention_is_compared_at_the_batch_whose_maps_fit(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, maps: float | None, images: int, compared: bool
) -> None:
    free = None if maps is None else int(maps * compute.MAPS * 4 * 8**4)
    monkeypatch.setattr(compute.free_memory, "available_bytes", lambda: free)
    case = compute.attention(setting, 8, 8, 4)
    assert (case.images, len(case.forms)) == (images, 1 + compared)
    assert (f"batch {images}" in case.against) == (images < 4)
    assert all(form(False).seconds > 0 for form in case.forms)
    # forward and backward: products of 64 x 64 places over 1 + 8 channels, and 1x1 convolutions 8 -> 1, 1, 8
    record = measure.measure("it", case, seconds=0.0)
    flops = images * 3 * 2 * (64 * 64 * 9 + 64 * 80)
    assert record["gflops"] == (pytest.approx(flops / record["seconds"] / 1e9) if compared else None)


def test_photographs_take_time_to_decode(tmp_path: Path) -> None:
    files.write_photos(tmp_path, count=files.DRAWN + 2, side=64)
    found = sorted((tmp_path / "trainA").iterdir())
    assert len(found) == len(list((tmp_path / "trainB").iterdir())) == files.DRAWN + 2
    assert found[0].read_bytes() == found[files.DRAWN].read_bytes() != found[1].read_bytes()
    assert found[0].stat().st_size > 64 * 64 // 2  # a smooth drawing would take a fifth of the bytes


def test_a_program_is_timed_until_it_reports(tmp_path: Path) -> None:
    late = starting.REPORT.replace("sys.exit()", "time.sleep(0.5)")
    ready = starting.program(["-c", f"import sys, time; print('other'); {late}"], tmp_path)(False).seconds
    assert 0 < ready < starting.program(["-c", "import time; time.sleep(0.5)"], tmp_path)(False).seconds
    with refused(tmp_path, "ValueError: wrong"):
        starting.program(["-c", "raise ValueError('wrong')"], tmp_path)(False)


def test_a_peer_that_does_not_start_is_named(setting: Setting, tmp_path: Path) -> None:
    case = starting.question(replace(setting, peer=peers.PEERS[0]._replace(path=tmp_path)), "--help")
    assert case.against == peers.PEERS[0].title
    with refused(tmp_path, "exit code 2"):
        case.forms[1](False)
