"""Patches mixed by depthwise and pointwise convolutions: small cousin of a vision transformer.

Trained with AdamW and one cycle of the learning rate, pictures moved by a pixel at most; pictures of other sizes are brought to the
median size. Deterministic on a CPU. Fails to learn from fewer than about 500 pictures.
Cost: about 150 s per 10,000 pictures of 32x32 and core.
Paper: Trockman and Kolter 2022, arXiv 2201.09792.
"""

from __future__ import annotations

from typing import Any

from bezoar.core.ability import Info
from bezoar.networks.builds import convmixer
from bezoar.networks.image_victim import ImageVictim


class ImageConvmixer(ImageVictim):
    """The network.

    width   channels of the first stage, 4 or more
    epochs  passes over the data, 1 or more; few pictures are passed over more often
    rate    largest learning rate
    """

    info = Info(name="image-convmixer", summary="patches mixed by depthwise and pointwise convolutions", modalities=("image",),
                needs=("labels",), extras=("torch",), cost="about 150 s per 10,000 pictures of 32x32 and core",
                reference="Trockman and Kolter 2022, arXiv 2201.09792")

    def __init__(self, *, width: int = 32, epochs: int = 6, rate: float = 0.01) -> None:
        self.width = width
        self.epochs = epochs
        self.rate = rate

    def build(self, classes: int) -> Any:
        return convmixer(classes, self.width)
