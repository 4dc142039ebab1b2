"""Draw the toy data set, train CycleGAN with attention on it, translate the test images and score them.

python scripts/demo.py          (or: make demo)
"""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util import errors, log
from util.cli.arguments import Arguments

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = """
scripts/make_toy_dataset.py --out datasets/toy --size 64 --train 400 --test 40

train.py --model cycle_gan_attn --dataroot datasets/toy --name demo
--preprocess resize --load_size 64 --crop_size 64
--netG resnet_6blocks --ngf 16 --ndf 16 --batch_size 2 --lr_G 1.2e-3 --lr_D 6e-4 --lambda_identity 1 --ema_decay 0.99
--n_epochs 2 --n_epochs_decay 2 --num_threads 1
--print_freq 100 --display_freq 200 --update_html_freq 200 --save_latest_freq 1000 --display_winsize 128

test.py --dataroot datasets/toy --name demo --num_test all --display_winsize 128

scripts/score_translations.py --results results/demo/test_latest/images --dataroot datasets/toy
"""


def main(argv: Sequence[str] | None = None) -> int:
    Arguments(__doc__).parse_args(argv)
    errors.check_installed()
    for command in COMMANDS.strip().split("\n\n"):
        words = command.split()
        log.info(f"\n$ python {' '.join(words)}")
        with subprocess.Popen([sys.executable, *words], cwd=ROOT) as child:
            # so that train.py can save its state before it ends
            signal.signal(signal.SIGTERM, lambda *_, child=child: child.terminate())
        if child.returncode:
            return child.returncode if child.returncode > 0 else 128 - child.returncode
    log.info(f"\ntraining:     {ROOT / 'checkpoints/demo/web/index.html'}")
    log.info(f"translations: {ROOT / 'results/demo/test_latest/index.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(errors.run(main))
