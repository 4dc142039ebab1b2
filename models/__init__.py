"""Models: plugins found by name, the networks they consist of, and the training step.

`<name>_model.py` files are plugins, one for each method; `nets/` holds architectures, `training/` the step.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from util import plugins

if TYPE_CHECKING:  # it imports torch, which --help does not need
    from models.base_model import BaseModel


def find_model_using_name(model_name: str, plugin_path: Sequence[str] = ()) -> type[BaseModel]:
    """The class `<Name>Model` of `models/<name>_model.py` or of a folder of --plugin_path.

    Raises:
        UserError: there is no such model, or its file cannot be imported.
    """
    return plugins.find("model", model_name, plugin_path)


def create_model(opt: Namespace) -> BaseModel:
    """The model that `--model` names, on its device.

    Raises:
        UserError: an option does not fit the model.
    """
    model = find_model_using_name(opt.model, opt.plugin_path)(opt)
    model.check_flags()
    return model
