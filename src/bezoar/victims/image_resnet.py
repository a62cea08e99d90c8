"""A narrow residual network of seven convolutions.

Trained with AdamW and one cycle of the learning rate, pictures moved by a pixel at most; pictures of other sizes are brought to the
median size. Deterministic on a CPU. Fails to learn from fewer than about 500 pictures.
Cost: about 100 s per 10,000 pictures of 32x32 and core.
Paper: He et al. 2016, arXiv 1512.03385.
"""

from __future__ import annotations

from typing import Any

from bezoar.core.ability import Info
from bezoar.networks.builds import resnet
from bezoar.networks.image_victim import ImageVictim


class ImageResnet(ImageVictim):
    """The network.

    width   channels of the first stage, 4 or more
    epochs  passes over the data, 1 or more; few pictures are passed over more often
    rate    largest learning rate
    """

    info = Info(name="image-resnet", summary="a narrow residual network", modalities=("image",),
                needs=("labels",), extras=("torch",), cost="about 100 s per 10,000 pictures of 32x32 and core",
                reference="He et al. 2016, arXiv 1512.03385")

    def __init__(self, *, width: int = 16, epochs: int = 6, rate: float = 0.01) -> None:
        self.width = width
        self.epochs = epochs
        self.rate = rate

    def build(self, classes: int) -> Any:
        return resnet(classes, self.width)
