"""Why a weight file does not fit an image-to-image net, according to its keys and shapes."""

from torch import Tensor, nn

State = dict[str, Tensor]


def explain_mismatch(net: nn.Module, state: State) -> str:
    """The option that most likely differs between `state` and `net`; a method of nets for util/run/weights.py."""
    own = net.state_dict()
    missing, extra = own.keys() - state.keys(), state.keys() - own.keys()
    shapes = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    if any("attention." in key for key in missing):
        return "it has no attention: load it with --init_from, or use --model cycle_gan"
    if any("attention." in key for key in extra):
        return "it has attention: use --model cycle_gan_attn with the run's --attn_G_pos"
    in_file, in_net = (any(key.endswith("running_mean") for key in keys) for keys in (state, own))
    if in_file != in_net:
        return "it was trained with --norm " + ("batch" if in_file else "instance or none")
    if all(key.endswith(".bias") for key in (*missing, *extra)) and (missing or extra) and not shapes:
        earlier = (
            ", or with --norm none by an earlier version of this repository, whose convolutions had biases"
        )
        return "it was trained with --norm " + ("none" if missing else f"instance{earlier}")
    if _blocks(own) != _blocks(state):
        return f"it has {_blocks(state)} residual blocks, this net {_blocks(own)}: check --netG"
    moved = {key.split("conv_block.")[1].split(".")[0] for key in (*missing, *extra) if "conv_block" in key}
    if "0" in moved:
        return "its residual blocks have other layers for padding: check --padding_type"
    if moved:
        return "dropout moves this layer: add or remove --no_dropout"
    if 0 < len({key.rpartition(".")[0] for key in shapes}) <= 2:  # then it is the first or the last layer
        return "check --input_nc and --output_nc"
    return "check --ngf, --ndf and --netG" if shapes else "check --netG, --netD and --norm"


def _blocks(state: State) -> int:
    return len({key.split(".conv_block")[0] for key in state if ".conv_block" in key})
