"""The main job in a few minutes: draw the toy data set, train CycleGAN with attention on it, look, and score.

python scripts/demo.py          (or: make demo)
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util import errors, log
from util.cli.arguments import Arguments

ROOT = Path(__file__).resolve().parents[1]
NAME = "demo"
DATA = "datasets/toy"
MAKE = ["scripts/make_toy_dataset.py", "--out", DATA, "--size", "64", "--train", "400", "--test", "40"]
TRAIN = f"""
train.py --model cycle_gan_attn --dataroot {DATA} --name {NAME}
--preprocess resize --load_size 64 --crop_size 64
--netG resnet_6blocks --ngf 16 --ndf 16 --batch_size 2 --lr_G 1.2e-3 --lr_D 6e-4 --lambda_identity 1 --ema_decay 0.99
--n_epochs 2 --n_epochs_decay 2 --num_threads 1
--print_freq 100 --display_freq 200 --update_html_freq 200 --save_latest_freq 1000 --display_winsize 128
""".split()
TEST = ["test.py", "--dataroot", DATA, "--name", NAME, "--num_test", "all", "--display_winsize", "128"]
SCORE = [
    "scripts/score_translations.py",
    "--results",
    f"results/{NAME}/test_latest/images",
    "--dataroot",
    DATA,
]


def main(argv: Sequence[str] | None = None) -> int:
    Arguments(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    for command in (MAKE, TRAIN, TEST, SCORE):
        log.info(f"\n$ python {' '.join(command)}")
        code = subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode
        if code:
            return code
    log.info(f"\nhow it learned:     {ROOT / 'checkpoints' / NAME / 'web' / 'index.html'}")
    log.info(f"what it translates: {ROOT / 'results' / NAME / 'test_latest' / 'index.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(errors.run(main))
