"""The same inputs through the whole run, shown beside those of the current batch, so that progress can be followed."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from util import log
from util.run.random_state import unchanged_random_state

FIXED = "fixed_"  # what the labels of these images begin with


class Model(Protocol):
    """What is needed of a model; models.base_model.BaseModel provides it."""

    def test(self, batch: Any, /) -> dict[str, Tensor]: ...


class FixedInputs:
    """Makes images from one batch with a model that is training, which is left as it was."""

    def __init__(self, model: Model, batch: Mapping[str, Any]) -> None:
        self._model, self._batch = model, batch

    def visuals(self) -> dict[str, Tensor]:
        """fixed_<label> -> images (N, C, H, W) in [-1, 1]; none, with a warning, once the model has failed."""
        if not self._batch:
            return {}
        attributes = dict(vars(self._model))  # the images of the current step, which may be shown again
        try:
            with unchanged_random_state():
                images = self._model.test(self._batch)
        except Exception as error:  # of a plugin that cannot be tested, which does not stop its training
            log.warn(
                f"--fixed_images is switched off, because test() failed: {type(error).__name__}: {error}"
            )
            self._batch, images = {}, {}
        finally:
            vars(self._model).clear()
            vars(self._model).update(attributes)
        return {f"{FIXED}{label}": image for label, image in images.items()}
