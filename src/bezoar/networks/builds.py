"""Small standard networks: narrow ResNet, VGG-like, ConvMixer for pictures; a convolution over characters; a perceptron.

Each function returns a torch module whose `features(x)` gives (n, d) and whose call gives (n, classes) logits. Torch is imported inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def resnet(classes: int, width: int = 16, channels: int = 3) -> Any:
    """A first convolution at full size, then three residual blocks that halve it, `width` to 4 `width` channels."""
    from torch import nn

    stem = nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
    body = nn.Sequential(stem, _block(width, width, 2), _block(width, 2 * width, 2), _block(2 * width, 4 * width, 2),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return _headed(body, nn.Linear(4 * width, classes))


def resnet18(classes: int, channels: int = 3) -> Any:
    """Eight residual blocks, 64 to 512 channels, with the first convolution at full size that small pictures need.

    He et al. 2016, arXiv 1512.03385.
    """
    from torch import nn

    stem = nn.Sequential(nn.Conv2d(channels, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
    blocks = [_block(a, b, stride) for a, b, stride in ((64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1),
                                                        (256, 512, 2), (512, 512, 1))]
    return _headed(nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(512, classes))


def vgg(classes: int, width: int = 16, channels: int = 3) -> Any:
    """Six convolutions in three stages with pooling between, no shortcuts."""
    from torch import nn

    layers: list[Any] = []
    last = channels
    for stage in range(3):
        for _ in range(2):
            out = width * 2 ** stage
            layers += [nn.Conv2d(last, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            last = out
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16 * width, 4 * width), nn.ReLU())
    return _headed(body, nn.Linear(4 * width, classes))


def convmixer(classes: int, width: int = 32, depth: int = 3, channels: int = 3) -> Any:
    """Patches of 2x2, then depthwise and pointwise convolutions by turns (Trockman and Kolter 2022, arXiv 2201.09792)."""
    from torch import nn

    class Residual(nn.Module):  # type: ignore[misc]
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            return x + self.inner(x)

    body = nn.Sequential(
        nn.Conv2d(channels, width, 2, 2), nn.GELU(), nn.BatchNorm2d(width),
        *(nn.Sequential(Residual(nn.Sequential(nn.Conv2d(width, width, 5, padding="same", groups=width), nn.GELU(), nn.BatchNorm2d(width))),
                        nn.Conv2d(width, width, 1), nn.GELU(), nn.BatchNorm2d(width)) for _ in range(depth)),
        nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return _headed(body, nn.Linear(width, classes))


def text_cnn(classes: int, vocabulary: int, width: int = 48, dropout: float = 0.0) -> Any:
    """Convolutions of 1, 3 and 5 tokens over an embedding, maximum over places, of which a share `dropout` is left out in training
    (Kim 2014, arXiv 1408.5882)."""
    import torch
    from torch import nn

    class Body(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(vocabulary, width, padding_idx=0)
            self.convs = nn.ModuleList([nn.Conv1d(width, width, k, padding=k // 2) for k in (1, 3, 5)])

        def forward(self, x: Any) -> Any:
            e = self.embed(x).transpose(1, 2)
            most = torch.cat([nn.functional.relu(c(e)).amax(dim=2) for c in self.convs], dim=1)
            return nn.functional.dropout(most, dropout, self.training)

    return _headed(Body(), nn.Linear(3 * width, classes))


def perceptron(classes: int, inputs: int, width: int = 128) -> Any:
    """Two hidden layers."""
    from torch import nn

    body = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width // 2), nn.ReLU())
    return _headed(body, nn.Linear(width // 2, classes))


def _block(a: int, b: int, stride: int) -> Any:
    """Two convolutions with a shortcut around them."""
    from torch import nn

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.main = nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(),
                                      nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b))
            self.short = nn.Identity() if a == b and stride == 1 else nn.Conv2d(a, b, 1, stride, bias=False)

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(self.main(x) + self.short(x))

    return Block()


def _headed(body: Any, head: Any) -> Any:
    from torch import nn

    class Headed(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.features = body
            self.head = head

        def forward(self, x: Any) -> Any:
            return self.head(self.features(x))

    return Headed()


IMAGE_BUILDS: dict[str, Callable[..., Any]] = {"resnet": resnet, "vgg": vgg, "convmixer": convmixer}
