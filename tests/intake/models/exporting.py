"""Small networks of usual kinds, and their archives as `torch.export.save` writes them."""

import io
import warnings

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.c2, self.b2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        self.short = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))

    def forward(self, x):
        return F.relu(self.b2(self.c2(F.relu(self.b1(self.c1(x)), inplace=True))) + self.short(x))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads

    def forward(self, x):
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width))


class Transformer(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, width, 4, 4), nn.Parameter(torch.randn(1, 1, width))
        self.place, self.n1, self.attention = nn.Parameter(torch.randn(1, 17, width)), nn.LayerNorm(width), Attention(width, 3)
        self.n2, self.mlp, self.head = nn.LayerNorm(width), nn.Sequential(nn.Linear(width, 24), nn.GELU(), nn.Dropout(), nn.Linear(24, width)), nn.Linear(width, 4)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        x = x + self.attention(self.n1(x))
        return self.head((x + self.mlp(self.n2(x)))[:, 0])


class Modern(nn.Module):
    """A block as in ConvNeXt, with squeezing, a norm over groups, a scale of pixels of its own and an answer in logarithms."""

    def __init__(self):
        super().__init__()
        self.stem, self.deep, self.norm = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 8, 7, padding=3, groups=8), nn.LayerNorm(8, eps=1e-6)
        self.up, self.down, self.gamma = nn.Linear(8, 32), nn.Linear(32, 8), nn.Parameter(torch.full((8,), 0.1))
        self.groups, self.squeeze, self.head = nn.GroupNorm(2, 8), nn.Conv2d(8, 8, 1), nn.Linear(8, 4)
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5))
        self.scale = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)

    def forward(self, x):
        x = self.stem((x - self.mean) / 0.25 * self.scale)
        y = self.norm(self.deep(x).permute(0, 2, 3, 1))
        x = x + (self.down(F.gelu(self.up(y), approximate="tanh")) * self.gamma).permute(0, 3, 1, 2)
        x = F.hardswish(self.groups(x))
        x = x * torch.sigmoid(self.squeeze(F.adaptive_avg_pool2d(x, 1)))
        return F.log_softmax(self.head(F.avg_pool2d(x, 2).mean((2, 3))), dim=1)


def residual():
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1), Block(6, 8, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(8, 4))


def stacked():
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding="same"), nn.BatchNorm2d(6), nn.LeakyReLU(0.1), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d((3, 3)), nn.Flatten(),
                         nn.Linear(54, 16), nn.ReLU6(), nn.Dropout(), nn.Linear(16, 4))


def rows():
    return nn.Sequential(nn.Linear(7, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 8), nn.ELU(), nn.Linear(8, 3))


NETWORKS = {"residual": residual, "stacked": stacked, "transformer": Transformer, "modern": Modern, "rows": rows,
            "encoder": lambda: nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(256, 4, 16, batch_first=True, norm_first=True), nn.Flatten(), nn.Linear(768, 4))}


def network(name):
    """In evaluation mode, its norms with means and spreads of their own; and five inputs."""
    torch.manual_seed(3)
    made = NETWORKS[name]()
    shape = (7,) if name == "rows" else (3, 16, 16)
    with torch.no_grad():
        for _ in range(3):
            made(torch.randn(8, *shape))
    return made.eval(), torch.randn(5, *shape)


def archive(module, inputs, free=True, core=False):
    """The bytes of its archive: with a free batch or one of two, with its operators as they are or taken apart into simpler ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.export.export(module, (inputs[:2],), dynamic_shapes=({0: torch.export.Dim.AUTO},) if free else None)
        made = made.run_decompositions() if core else made
        out = io.BytesIO()
        torch.export.save(made, out)
    return out.getvalue()
