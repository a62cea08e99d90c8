"""Families of networks that others publish weights for, written so that parameter names and shapes match; sizes come from the weights.

Residual networks (He et al. 2016, arXiv 1512.03385; wide and grouped ones too), VGG (Simonyan and Zisserman 2015, arXiv 1409.1556),
vision transformers (Dosovitskiy et al. 2021, arXiv 2010.11929) and ConvNeXt (Liu et al. 2022, arXiv 2201.03545), each as the usual
library of torch names them. Every function takes shapes by parameter name and raises KeyError or ValueError where they are not such a
network. Torch is imported inside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]


def highest(shapes: Shapes, pattern: str) -> int:
    """One more than the highest number at the group of `pattern`; 0 where none matches."""
    return max((int(m[1]) + 1 for name in shapes if (m := re.match(pattern, name))), default=0)


def residual(shapes: Shapes) -> Any:
    """Basic or bottleneck blocks in four (or three) stages. A first kernel of 3 means small pictures: no stride, no pooling before."""
    from torch import nn

    head = "fc" if "fc.weight" in shapes else "linear"
    short = "downsample" if any(".downsample." in n for n in shapes) else "shortcut"
    deep = "layer1.0.conv3.weight" in shapes
    classes, _ = shapes[f"{head}.weight"]
    first = shapes["conv1.weight"]

    def normed(a: int, b: int, kernel: int, stride: int = 1, groups: int = 1) -> list[Any]:
        return [nn.Conv2d(a, b, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(b)]

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, at: str, stride: int) -> None:
            super().__init__()
            for i in range(1, 4 if deep else 3):
                out, inner, kernel, _ = shapes[f"{at}.conv{i}.weight"]
                source = shapes[f"{at}.conv{i - 1}.weight"][0] if i > 1 else inner
                steps = stride if i == (2 if deep else 1) else 1
                conv, norm = normed(source, out, kernel, steps, max(1, source // inner))
                self.add_module(f"conv{i}", conv)
                self.add_module(f"bn{i}", norm)
            inputs, out = shapes[f"{at}.conv1.weight"][1], shapes[f"{at}.conv{3 if deep else 2}.weight"][0]
            has = f"{at}.{short}.0.weight" in shapes
            setattr(self, short, nn.Sequential(*normed(inputs, out, 1, stride)) if has else nn.Sequential())

        def forward(self, x: Any) -> Any:
            out = nn.functional.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            if deep:
                out = self.bn3(self.conv3(nn.functional.relu(out)))
            return nn.functional.relu(out + getattr(self, short)(x))

    class Residual(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            small = first[2] == 3
            self.conv1 = nn.Conv2d(first[1], first[0], first[2], 1 if small else 2, first[2] // 2, bias=False)
            self.bn1 = nn.BatchNorm2d(first[0])
            self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
            self.stages = highest(shapes, r"layer(\d+)\.")
            for i in range(1, self.stages):
                blocks = range(highest(shapes, rf"layer{i}\.(\d+)\."))
                self.add_module(f"layer{i}", nn.Sequential(*(Block(f"layer{i}.{j}", 2 if i > 1 and j == 0 else 1) for j in blocks)))
            self.add_module(head, nn.Linear(shapes[f"{head}.weight"][1], classes))

        def features(self, x: Any) -> Any:
            x = self.maxpool(nn.functional.relu(self.bn1(self.conv1(x))))
            for i in range(1, self.stages):
                x = getattr(self, f"layer{i}")(x)
            return x.mean(dim=(2, 3))

        def forward(self, x: Any) -> Any:
            return getattr(self, head)(self.features(x))

    return Residual()


def vgg(shapes: Shapes) -> Any:
    """Convolutions of 3x3 by their numbers; where a number is left out after the activation there is a pooling."""
    from torch import nn

    layers: list[Any] = []
    numbers = sorted({int(m[1]) for n in shapes if (m := re.match(r"features\.(\d+)\.weight\Z", n)) and len(shapes[n]) == 4})
    if not numbers or numbers[0] != 0:
        raise KeyError("features.0.weight")
    for number in numbers:
        out, inner, kernel, _ = shapes[f"features.{number}.weight"]
        if len(layers) == number - 1:
            layers.append(nn.MaxPool2d(2, 2))
        if len(layers) != number or kernel != 3:
            raise ValueError("other layers between")
        layers.append(nn.Conv2d(inner, out, 3, padding=1))
        if f"features.{number + 1}.running_mean" in shapes:
            layers.append(nn.BatchNorm2d(out))
        layers.append(nn.ReLU())
    layers.append(nn.MaxPool2d(2, 2))
    last = shapes[f"features.{numbers[-1]}.weight"][0]
    if "classifier.weight" in shapes:
        classes, inner = shapes["classifier.weight"]
        head: Any = nn.Linear(inner, classes)
        side = 1
    else:
        (wide, inner), (second, _), (classes, _) = (shapes[f"classifier.{i}.weight"] for i in (0, 3, 6))
        head = nn.Sequential(nn.Linear(inner, wide), nn.ReLU(), nn.Dropout(), nn.Linear(wide, second), nn.ReLU(), nn.Dropout(),
                             nn.Linear(second, classes))
        side = round((inner / last) ** 0.5)
    if last * side * side != inner:
        raise ValueError("another pooling before the last layers")

    class Vgg(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(*layers)
            self.avgpool = nn.AdaptiveAvgPool2d(side)
            self.classifier = head

        def forward(self, x: Any) -> Any:
            return self.classifier(self.avgpool(self.features(x)).flatten(1))

    return Vgg()


def transformer(shapes: Shapes) -> Any:
    """A vision transformer. The number of heads is not in the weights: 64 numbers per head, 80 where the width is 1280."""
    import torch
    from torch import nn

    width, channels, patch, _ = shapes["conv_proj.weight"]
    tokens = shapes["encoder.pos_embedding"][1]
    heads = 16 if width == 1280 else max(1, width // 64)
    depth = highest(shapes, r"encoder\.layers\.encoder_layer_(\d+)\.")
    hidden = shapes["encoder.layers.encoder_layer_0.mlp.0.weight"][0]

    class Layer(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.ln_1 = nn.LayerNorm(width, eps=1e-6)
            self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
            self.ln_2 = nn.LayerNorm(width, eps=1e-6)
            self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(0.0), nn.Linear(hidden, width))

        def forward(self, x: Any) -> Any:
            y = self.ln_1(x)
            x = x + self.self_attention(y, y, y, need_weights=False)[0]
            return x + self.mlp(self.ln_2(x))

    class Encoder(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.pos_embedding = nn.Parameter(torch.zeros(1, tokens, width))
            self.layers = nn.Sequential()
            for i in range(depth):
                self.layers.add_module(f"encoder_layer_{i}", Layer())
            self.ln = nn.LayerNorm(width, eps=1e-6)

        def forward(self, x: Any) -> Any:
            return self.ln(self.layers(x + self.pos_embedding))

    class Transformer(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.side = patch * round((tokens - 1) ** 0.5)
            self.conv_proj = nn.Conv2d(channels, width, patch, patch)
            self.class_token = nn.Parameter(torch.zeros(1, 1, width))
            self.encoder = Encoder()
            self.heads = nn.Sequential()
            self.heads.add_module("head", nn.Linear(width, shapes["heads.head.weight"][0]))

        def features(self, x: Any) -> Any:
            x = self.conv_proj(x).flatten(2).transpose(1, 2)
            return self.encoder(torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1))[:, 0]

        def forward(self, x: Any) -> Any:
            return self.heads(self.features(x))

    return Transformer()


def convnext(shapes: Shapes) -> Any:
    """Depthwise convolutions of 7x7 and two linear layers per block, four stages."""
    import torch
    from torch import nn

    class Norm(nn.LayerNorm):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    class Turn(nn.Module):  # type: ignore[misc]
        def __init__(self, *order: int) -> None:
            super().__init__()
            self.order = order

        def forward(self, x: Any) -> Any:
            return x.permute(self.order)

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, width: int) -> None:
            super().__init__()
            self.layer_scale = nn.Parameter(torch.ones(width, 1, 1))
            self.block = nn.Sequential(nn.Conv2d(width, width, 7, padding=3, groups=width), Turn(0, 2, 3, 1), nn.LayerNorm(width, eps=1e-6),
                                       nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), Turn(0, 3, 1, 2))

        def forward(self, x: Any) -> Any:
            return x + self.layer_scale * self.block(x)

    width, channels, patch, _ = shapes["features.0.0.weight"]
    layers: list[Any] = [nn.Sequential(nn.Conv2d(channels, width, patch, patch), Norm(width, eps=1e-6))]
    for stage in range(1, highest(shapes, r"features\.(\d+)\.")):
        if stage % 2:
            layers.append(nn.Sequential(*(Block(width) for _ in range(highest(shapes, rf"features\.{stage}\.(\d+)\.")))))
        else:
            out = shapes[f"features.{stage}.1.weight"][0]
            layers.append(nn.Sequential(Norm(width, eps=1e-6), nn.Conv2d(width, out, 2, 2)))
            width = out

    class ConvNeXt(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(*layers)
            self.classifier = nn.Sequential(Norm(width, eps=1e-6), nn.Flatten(1), nn.Linear(width, shapes["classifier.2.weight"][0]))

        def forward(self, x: Any) -> Any:
            return self.classifier(self.features(x).mean(dim=(2, 3), keepdim=True))

    return ConvNeXt()


def perceptron_by_number(shapes: Shapes) -> Any:
    """Linear layers at every second number, from 0 or, behind a flattening, from 1. Activations are not in the file: taken as ReLU."""
    from torch import nn

    numbers = sorted(int(n[:-7]) for n in shapes if re.fullmatch(r"\d+\.weight", n))
    sizes = [shapes[f"{n}.weight"] for n in numbers]
    if not numbers or numbers != [numbers[0] + 2 * i for i in range(len(numbers))] or numbers[0] > 1 or any(len(s) != 2 for s in sizes):
        raise KeyError("0.weight")
    layers: list[Any] = [nn.Flatten()] if numbers[0] else []
    for i, (out, inner) in enumerate(sizes):
        layers += ([nn.ReLU()] if i else []) + [nn.Linear(inner, out)]
    return nn.Sequential(*layers)
