"""Why a weight file does not fit an image-to-image net, according to its keys and shapes."""

from torch import Tensor, nn

State = dict[str, Tensor]


def explain_mismatch(net: nn.Module, state: State) -> str:
    """The option that most likely differs between `state` and `net`; a method of nets for util/run/weights.py."""
    own = net.state_dict()
    missing, extra = own.keys() - state.keys(), state.keys() - own.keys()
    shapes = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    blocks = {key for key in (*missing, *extra) if "conv_block" in key}
    explanations = [
        (
            any("attention." in key for key in missing),
            "it has no attention: load it with --init_from, or use --model cycle_gan",
        ),
        (
            any("attention." in key for key in extra),
            "it has attention: use --model cycle_gan_attn with the run's --attn_G_pos",
        ),
        (any(key.endswith("running_mean") for key in extra), "it was trained with --norm batch"),
        (any(key.endswith("running_mean") for key in missing), "it was trained with --norm instance"),
        (
            {key.split("conv_block.")[1].split(".")[0] for key in blocks} == {"5", "6"},
            "dropout moves this layer: add or remove --no_dropout",
        ),
        (
            _blocks(own) != _blocks(state),
            f"it has {_blocks(state)} residual blocks, this net {_blocks(own)}: check --netG",
        ),
        # a difference in one or two layers is in the first or the last one
        (0 < len({key.rpartition(".")[0] for key in shapes}) <= 2, "check --input_nc and --output_nc"),
        (bool(shapes), "check --ngf, --ndf and --netG"),
    ]
    return next((words for holds, words in explanations if holds), "check --netG, --netD and --norm")


def _blocks(state: State) -> int:
    return len({key.split(".conv_block")[0] for key in state if ".conv_block" in key})
