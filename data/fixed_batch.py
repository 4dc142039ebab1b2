"""The batch whose images are shown through the whole run."""

from argparse import Namespace
from copy import copy
from typing import Any

from data import create_dataset
from util import log, plugins
from util.errors import UserError
from util.run.random_state import unchanged_random_state


def fixed_batch(opt: Namespace) -> dict[str, Any]:
    """The first --fixed_images items of the test set, or if there is none of the training set, as test.py reads them.

    Empty in other processes than the first, and for models that make images from noise, which show fixed noise. Leaves
    the random generators as they are.
    """
    model = plugins.find("model", opt.model, opt.plugin_path)
    if not opt.fixed_images or not log.is_main() or model.test_dataset is not None:
        return {}
    settings = copy(opt)
    settings.isTrain, settings.serial_batches, settings.no_flip = False, True, True
    settings.batch_size = settings.max_dataset_size = opt.fixed_images
    settings.num_threads, settings.cache, settings.check_data = 0, "off", False
    if opt.preprocess != "resize":
        settings.load_size = opt.crop_size
    with unchanged_random_state():
        for phase in ("test", opt.phase):
            settings.phase = phase
            try:
                return next(iter(create_dataset(settings)))
            except UserError:  # there is no test set
                continue
    return {}
