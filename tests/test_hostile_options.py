"""Options of any shape, size and encoding: each is accepted or refused in one sentence, and soon."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import names_all, refused

from models.cycle_gan_model import CycleGANModel
from options import checks, saved_options
from options.parser import Parser
from options.sample_options import SampleOptions
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.errors import UserError

GIGABYTE = 10**9


@pytest.fixture(autouse=True)
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that waits ends as a failure after 60 seconds; 16 GB of memory are free."""

    def stop(*_: object) -> None:
        pytest.fail("still busy after 60 s")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "available_bytes", lambda: 16 * GIGABYTE)
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# ---------------------------------------------------------------------- values on the command line


NUMBERS = (
    "--seed --num_threads --batch_size --load_size --crop_size --input_nc --output_nc --ngf --ndf --n_layers_D "
    "--init_gain --load_iter --display_winsize --n_epochs --n_epochs_decay --epoch_count --lr --lr_G --lr_D "
    "--beta1 --beta2 --lr_decay_iters --accumulate --clip_grad --ema_decay --lambda_gp --r1_gamma --r1_every "
    "--ortho_G --ortho_D --pool_size --save_latest_freq --save_epoch_freq --print_freq --display_freq "
    "--update_html_freq --display_id --display_ncols --display_port --lambda_A --lambda_B --lambda_identity"
).split()


@pytest.mark.parametrize("flag", NUMBERS)
def test_every_number_has_a_range(flag: str) -> None:
    parser = Parser("train.py", [])
    TrainOptions().initialize(parser)
    CycleGANModel.modify_commandline_options(parser, True)
    for word in ("nan", "inf", "-inf", "1e999", "9" * 5000, "-" + "9" * 40, "", "1_", "0x", "\u0663e"):
        with refused(flag):
            parser.parse_known_args([f"{flag}={word}"])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--n_layers_D", "100000", "--netD", "n_layers"], ["--n_layers_D", "100000"]),
        (["--name", "\udcff\udcfe"], ["--name"]),
        (["--name", "a\x1b[31m"], ["--name"]),
        (["--checkpoints_dir", "x" * 300], ["--checkpoints_dir"]),
        (["--dataroot", "x" * 300], ["--dataroot"]),
        (["--dataroot", "x/" * 3000], ["--dataroot"]),
        (["--plugin_path", "x" * 300], ["--plugin_path"]),
        (["--load_size", "1000000"], ["--load_size", "1000000"]),
        (["--load_size", "1000000", "--crop_size", "1000000"], ["--load_size", "1000000"]),
        (["--load_size", "65000", "--crop_size", "65000"], ["--load_size", "65000"]),
        (["--load_size", "20000", "--batch_size", "2"], []),
        (["--batch_size", "100000000"], ["--batch_size", "100000000"]),
        (["--batch_size", "65535"], ["--batch_size", "65535", "--crop_size", "256"]),
        (["--preprocess", "center", "--crop_size", "65000"], ["--crop_size", "65000"]),
        (["--ngf", "100000000"], ["--ngf", "100000000"]),
        (["--ngf", "8192"], ["--ngf", "8192"]),
        (["--ndf", "8192"], ["--ndf", "8192"]),
        (["--gpu_ids", "9" * 400], ["--gpu_ids"]),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else value,
)
def test_values_that_no_machine_can_use_are_refused(words: list[str], named: list[str]) -> None:
    if named:
        with refused(*named):
            TrainOptions().parse(["--dataroot", ".", *words])
    else:
        assert TrainOptions().parse(["--dataroot", ".", *words]).load_size == 20000


@pytest.mark.parametrize("value", ["1e9", "1e-9", "nan", "0"])
def test_an_extreme_aspect_ratio_is_refused(value: str) -> None:
    Path("checkpoints/r").mkdir(parents=True)
    with refused("--aspect_ratio", value):
        TestOptions().parse(["--name", "r", "--dataroot", ".", "--aspect_ratio", value])


@pytest.mark.parametrize(
    "words",
    [["--columns", "100000000"], ["--steps", "100000000"], ["--columns", "1000", "--steps", "1000"]],
    ids=str,
)
def test_sheets_beyond_the_memory_are_refused(words: list[str]) -> None:
    Path("checkpoints/r").mkdir(parents=True)
    Path("checkpoints/r/opt.json").write_text('{"model": "dcgan", "crop_size": 128}')
    with refused(*words[:2]):
        SampleOptions().parse(["--name", "r", *words])


@pytest.mark.parametrize(
    "suffix",
    [
        "{ngf:>9999999999}",
        "{ngf:>999}",
        "{lr:.2000000000f}",
        "{ngf:{load_size}}",
        "{",
        "{}",
        "{0}",
        "{netX}",
        "{netG.x.y}",
    ],
)
def test_a_suffix_of_great_width_is_refused(suffix: str) -> None:
    """Before it is formatted: the first one needs 10 GB."""
    with refused("--suffix"):
        TrainOptions().parse(["--dataroot", ".", f"--suffix={suffix}"])
    assert (
        TrainOptions()
        .parse(["--dataroot", ".", "--suffix", "{ngf:>05}_{lr:.0e}"])
        .name.endswith("00064_2e-04")
    )


# ---------------------------------------------------------------------- files of options


def bomb() -> str:
    """Nine levels of nine aliases: a billion values in 500 bytes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "\n".join(lines).replace("a9: ", "plugin_path: ")


CONFIGS: dict[str, str | bytes] = {
    "aliases": bomb(),
    "merged aliases": bomb().replace("[", "{<<: [").replace("]", "]}"),
    "digits": "ngf: " + "9" * 5000,
    "hexadecimal": "ngf: 0x" + "f" * 50_000,
    "open levels": "[" * 5000,
    "levels": "ngf: " + "[" * 3000 + "]" * 3000,
    "keys": "ngf: 1\n" + "? " * 3000,
    "mapping": "ngf: {a: 1}",
    "list for one value": "model: [cycle_gan, pix2pix]",
    "list for a number": "ngf: [8, 8]",
    "key of a list": "? [a]\n: 1",
    "tag": "name: !!python/object/apply:os.system [touch pwned]",
    "bytes": b"\xff\xfe\x00",
    "nul": 'name: "a\\0b"',
    "surrogate": 'name: "\\ud800"',
    "escape": 'name: "\\e[31m"',
    "flag as value": "netG: --help",
    "nan": "lr: .nan",
    "date": "ngf: 2001-99-99",
    "large": "# " + "x" * 300_000,
    "unknown": "no_such_flag: 1",
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_hostile_config_is_refused(kind: str) -> None:
    pytest.importorskip("yaml")
    text = CONFIGS[kind]
    Path("c.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with refused("--config", "c.yaml"):
        TrainOptions().parse(["--dataroot", ".", "--config", "c.yaml"])
    assert not Path("pwned").exists()


def test_words_of_yaml_keep_their_meaning() -> None:
    pytest.importorskip("yaml")
    text = "cache: off\nfast: off\nno_flip: true\nmax_dataset_size: .inf\nnum_threads: null\ndisplay: [console, html]\n"
    Path("c.yaml").write_text(text + "lr: 1e-3\nname: 'null'\n")
    opt = TrainOptions().parse(["--dataroot", ".", "--config", "c.yaml"])
    assert (opt.cache, opt.fast, opt.no_flip, opt.display, opt.lr) == (
        "off",
        "off",
        True,
        ["console", "html"],
        1e-3,
    )


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)],
    ids=["pipe", "folder", "device"],
)
@pytest.mark.parametrize("file", ["opt.json", "train_opt.txt", "c.yaml"])
def test_what_is_no_file_of_options_is_refused_at_once(make: Callable, file: str) -> None:
    folder = Path("checkpoints/r")
    folder.mkdir(parents=True)
    make(folder / file)
    words = ["--config", str(folder / file)] if file == "c.yaml" else ["--name", "r"]
    with refused(folder / file):
        TestOptions().parse(["--dataroot", ".", *words])


@pytest.mark.parametrize(
    "text",
    [
        '{"ngf": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"ngf": ' + "9" * 5000 + "}",
        "[" * 200_000,
        '"text"',
        "null",
        "NaN",
        "",
        " " * 300_000,
        '{"ngf": 8} trailing',
    ],
    ids=lambda text: text[:12],
)
def test_a_hostile_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "opt.json").write_text(text)
    with refused(tmp_path / "opt.json"):
        saved_options.read_run(tmp_path)


def test_a_hostile_text_form_is_data(tmp_path: Path) -> None:
    lists = [
        "[" * 5000,
        "[" + "-" * 5000 + "1]",
        "[__import__('os').system('touch pwned')]",
        "[1, [2]]",
        "[9" + "9" * 5000 + "]",
    ]
    for text in lists:
        (tmp_path / "train_opt.txt").write_text(f"   display: {text}\n")
        read = saved_options.read_run(tmp_path)
        assert read.keys() <= {"display"} and not Path("pwned").exists()


@pytest.mark.parametrize("file", ["opt.json", "train_opt.txt"])
@pytest.mark.parametrize(
    "options",
    [
        {"model": ["cycle_gan", "pix2pix"]},
        {"plugin_path": "plugins"},
        {"plugin_path": ["plugins", ["deeper"]]},
        {"dataset_mode": ["single", "aligned"]},
        {"ngf": 10**400},
        {"ngf": True},
        {"ngf": float("nan")},
        {"crop_size": -1},
        {"norm": {"a": 1}},
        {"netG": "\x1b[2J"},
        {"netG": ""},
        {"direction": "--help"},
    ],
    ids=lambda options: str(options)[:40],
)
def test_options_of_other_types_are_refused_with_their_file(options: dict, file: str) -> None:
    """The sentence names the folder and the option as a flag."""
    folder = Path("checkpoints/r")
    folder.mkdir(parents=True)
    Path("plugins").mkdir()
    if file == "opt.json":
        (folder / file).write_text(json.dumps({"model": "cycle_gan", "ngf": 8} | options))
    else:
        lines = [f"{name:>25}: {value}" for name, value in options.items()]
        (folder / file).write_text("\n".join(["-- Options --", *lines]))
        if options in ({"netG": ""}, {"ngf": True}):
            options = {}
    try:
        TestOptions().parse(["--dataroot", ".", "--name", "r"])
    except UserError as error:
        sentence = str(error)
    else:
        sentence = ""
    if options and options != {"netG": ""}:
        assert names_all(sentence, [f"--{next(iter(options))}"]) and "\n" not in sentence
        assert "--plugin_path p:" not in sentence  # a text is not a list of letters


@pytest.mark.parametrize(
    "options",
    [
        {"preprocess": "resize"},
        {"model": None, "dataset_mode": None},
        {"no_such_option": {"a": [1]}},
        {"": 1},
    ],
    ids=json.dumps,
)
def test_options_that_are_missing_null_or_unknown_get_their_defaults(options: dict) -> None:
    folder = Path("checkpoints/r")
    folder.mkdir(parents=True)
    (folder / "opt.json").write_text(json.dumps({"ngf": 8} | options))
    opt = TestOptions().parse(["--dataroot", ".", "--name", "r"])
    assert opt.ngf == 8 and opt.model == "test"


def test_a_value_on_the_command_line_replaces_a_wrong_one_of_the_run() -> None:
    folder = Path("checkpoints/r")
    folder.mkdir(parents=True)
    (folder / "opt.json").write_text(json.dumps({"model": "cycle_gan", "ngf": "many"}))
    assert TestOptions().parse(["--dataroot", ".", "--name", "r", "--ngf", "4"]).ngf == 4
