"""The convolutions of VGG-19, which hypercolumns and feature losses are taken from.

Source: "Very Deep Convolutional Networks for Large-Scale Image Recognition" (ICLR 2015); keys and shapes are torchvision's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from restorekit.errors import CheckpointError
from restorekit.methods.rrformer import LEVEL_CHANNELS

LEVELS = (2, 7, 12, 21, 30)
"""How many layers lead to relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1, which have
:data:`~restorekit.methods.rrformer.LEVEL_CHANNELS` channels.
"""

_CONVOLUTIONS = (2, 2, 4, 4, 4)


class Vgg19(nn.Sequential):
    """The first ``depth`` of the 37 layers of torchvision's ``vgg19().features``.

    Fresh convolutions keep the size of what passes through them (Kaiming, fan-in), for networks that learn them.
    """

    def __init__(self, depth: int = 37) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for width, count in zip(LEVEL_CHANNELS, _CONVOLUTIONS, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        super().__init__(*layers[:depth])
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def maps(self, x: Tensor, depths: Sequence[int]) -> Iterator[Tensor]:
        """The map after each number of layers in ``depths``, ascending, of ``(B, 3, H, W)``; no layer after the last is run.

        A map before its ReLU can only be the last: the ReLUs overwrite what they are given.
        """
        start = 0
        for stop in depths:
            for index in range(start, stop):
                x = self[index](x)
            yield x
            start = stop


def imagenet_weights(depth: int) -> dict[str, Tensor]:
    """The state dict of ``Vgg19(depth)`` as torchvision taught it on ImageNet: from torch's cache, else downloaded (550 MB).

    Raises:
        CheckpointError: if the weights cannot be had.
    """
    from torch import hub
    from torchvision.models import VGG19_Weights

    weights = VGG19_Weights.IMAGENET1K_V1
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"the ImageNet weights of VGG-19 cannot be had: {error}",
            f"Connect to the internet once, or put the file of {weights.url} into {hub.get_dir()}/checkpoints",
        ) from None
    inner = {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}
    return {key: value for key, value in inner.items() if int(key.partition(".")[0]) < depth}
