"""Weights by the names that the usual libraries give find their network, and answer as the networks of another library do."""

import numpy as np
import pytest

from bezoar.core.errors import UnreadableInput, UsageError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from bezoar.networks import architectures, builds, families, training  # noqa: E402


def normed(name, size):
    return {f"{name}.{p}": (size,) for p in ("weight", "bias", "running_mean", "running_var")} | {f"{name}.num_batches_tracked": ()}


def residual(blocks, deep, wide=1, groups=1, per=64, classes=1000, short="downsample", head="fc", kernel=7, first=64):
    """Shapes by the names of the usual residual networks."""
    s = {"conv1.weight": (first, 3, kernel, kernel), **normed("bn1", first)}
    inputs = first
    for i, count in enumerate(blocks, 1):
        base = first * 2 ** (i - 1)
        out = base * 4 if deep else base
        for j in range(count):
            at = f"layer{i}.{j}"
            if deep:
                inner = int(base * per / 64) * groups * wide
                sizes = [(inner, inputs, 1, 1), (inner, inner // groups, 3, 3), (out, inner, 1, 1)]
            else:
                sizes = [(out, inputs, 3, 3), (out, out, 3, 3)]
            for k, size in enumerate(sizes, 1):
                s |= {f"{at}.conv{k}.weight": size, **normed(f"{at}.bn{k}", size[0])}
            if j == 0 and (inputs != out or i > 1):
                s |= {f"{at}.{short}.0.weight": (out, inputs, 1, 1), **normed(f"{at}.{short}.1", out)}
            inputs = out
    return s | {f"{head}.weight": (classes, inputs), f"{head}.bias": (classes,)}


def vgg(plan, norm, classes=1000):
    s, at, inputs = {}, 0, 3
    for item in plan:
        if item == "M":
            at += 1
            continue
        s |= {f"features.{at}.weight": (item, inputs, 3, 3), f"features.{at}.bias": (item,)}
        if norm:
            s |= normed(f"features.{at + 1}", item)
        at, inputs = at + 2 + norm, item
    for i, (a, b) in zip((0, 3, 6), ((4096, inputs * 49), (4096, 4096), (classes, 4096)), strict=True):
        s |= {f"classifier.{i}.weight": (a, b), f"classifier.{i}.bias": (a,)}
    return s


def transformer(width, depth, hidden, patch, tokens, classes=1000):
    s = {"class_token": (1, 1, width), "conv_proj.weight": (width, 3, patch, patch), "conv_proj.bias": (width,),
         "encoder.pos_embedding": (1, tokens, width), "encoder.ln.weight": (width,), "encoder.ln.bias": (width,),
         "heads.head.weight": (classes, width), "heads.head.bias": (classes,)}
    for i in range(depth):
        at = f"encoder.layers.encoder_layer_{i}"
        s |= {f"{at}.{n}.{p}": (width,) for n in ("ln_1", "ln_2") for p in ("weight", "bias")}
        s |= {f"{at}.self_attention.in_proj_weight": (3 * width, width), f"{at}.self_attention.in_proj_bias": (3 * width,),
              f"{at}.self_attention.out_proj.weight": (width, width), f"{at}.self_attention.out_proj.bias": (width,),
              f"{at}.mlp.0.weight": (hidden, width), f"{at}.mlp.0.bias": (hidden,), f"{at}.mlp.3.weight": (width, hidden), f"{at}.mlp.3.bias": (width,)}
    return s


def convnext(widths, depths, classes=1000):
    s = {"features.0.0.weight": (widths[0], 3, 4, 4), "features.0.0.bias": (widths[0],), "features.0.1.weight": (widths[0],), "features.0.1.bias": (widths[0],)}
    for i, (w, d) in enumerate(zip(widths, depths, strict=True)):
        for j in range(d):
            at = f"features.{2 * i + 1}.{j}"
            s |= {f"{at}.layer_scale": (w, 1, 1), f"{at}.block.0.weight": (w, 1, 7, 7), f"{at}.block.0.bias": (w,), f"{at}.block.2.weight": (w,),
                  f"{at}.block.2.bias": (w,), f"{at}.block.3.weight": (4 * w, w), f"{at}.block.3.bias": (4 * w,), f"{at}.block.5.weight": (w, 4 * w),
                  f"{at}.block.5.bias": (w,)}
        if i + 1 < len(widths):
            at = f"features.{2 * i + 2}"
            s |= {f"{at}.0.weight": (w,), f"{at}.0.bias": (w,), f"{at}.1.weight": (widths[i + 1], w, 2, 2), f"{at}.1.bias": (widths[i + 1],)}
    return s | {"classifier.0.weight": (widths[-1],), "classifier.0.bias": (widths[-1],), "classifier.2.weight": (classes, widths[-1]),
                "classifier.2.bias": (classes,)}


VGG16 = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]
PUBLISHED = {
    "resnet18": (residual((2, 2, 2, 2), False), 11_689_512), "resnet34": (residual((3, 4, 6, 3), False), 21_797_672),
    "resnet50": (residual((3, 4, 6, 3), True), 25_557_032), "resnet101": (residual((3, 4, 23, 3), True), 44_549_160),
    "wide_resnet50_2": (residual((3, 4, 6, 3), True, per=128), 68_883_240),
    "resnext50_32x4d": (residual((3, 4, 6, 3), True, groups=32, per=4), 25_028_904),
    "vgg16": (vgg(VGG16, False), 138_357_544), "vgg16_bn": (vgg(VGG16, True), 138_365_992),
    "vgg11": (vgg([64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"], False), 132_863_336),
    "vit_b_16": (transformer(768, 12, 3072, 16, 197), 86_567_656), "vit_b_32": (transformer(768, 12, 3072, 32, 50), 88_224_232),
    "vit_l_16": (transformer(1024, 24, 4096, 16, 197), 304_326_632),
    "convnext_tiny": (convnext((96, 192, 384, 768), (3, 3, 9, 3)), 28_589_128),
    "convnext_base": (convnext((128, 256, 512, 1024), (3, 3, 27, 3)), 88_591_464),
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_networks_are_known_by_their_shapes(name):
    shapes, parameters = PUBLISHED[name]
    fit = architectures.infer(shapes)
    assert fit is not None
    assert sum(p.numel() for p in fit.module.parameters()) == parameters, "as published"
    assert fit.modality == "image" and fit.pixels == "imagenet" and fit.shape == (224, 224, 3)


def test_small_pictures_have_networks_of_their_own():
    fit = architectures.infer(residual((2, 2, 2, 2), False, classes=10, short="shortcut", head="linear", kernel=3))
    assert sum(p.numel() for p in fit.module.parameters()) == 11_173_962 and fit.shape == (32, 32, 3)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vit_b_32", "convnext_tiny"])
def test_one_parameter_more_or_less_is_no_fit(name):
    shapes, _ = PUBLISHED[name]
    last = sorted(shapes)[0]
    assert architectures.infer({n: s for n, s in shapes.items() if n != last}) is None
    assert architectures.infer({**shapes, "backdoor.weight": (3,)}) is None
    assert architectures.infer({**shapes, last: (*shapes[last], 2)}) is None


def _filled(module, seed=100):
    with training.seeded(seed):
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5 if "running_var" in name else 0.3 * torch.randn_like(tensor))
    return module.eval()


def _compare(shapes, peer, rename, size):
    """A peer's weights under our names give the peer's answers."""
    state = {}
    for name, tensor in _filled(peer).state_dict().items():
        if (new := rename(name)):
            state[new] = tensor.reshape(shapes[new]) if new in shapes and new.endswith("layer_scale") else tensor
    if "vit" in type(peer).__name__.lower():
        for i in range(peer.config.num_hidden_layers):
            parts = [state.pop(f"encoder.layers.encoder_layer_{i}.{k}.{p}") for p in ("weight", "bias") for k in ("query", "key", "value")]
            state[f"encoder.layers.encoder_layer_{i}.self_attention.in_proj_weight"] = torch.cat(parts[:3])
            state[f"encoder.layers.encoder_layer_{i}.self_attention.in_proj_bias"] = torch.cat(parts[3:])
    fit = architectures.module_of({n: t.numpy() for n, t in state.items()})
    x = torch.from_numpy(np.random.default_rng(100).normal(0, 1, (3, 3, size, size))).float()
    with torch.no_grad():
        want, got = peer(pixel_values=x).logits, fit.module(x)
    assert want.std() > 0
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-3, atol=1e-4 * float(want.abs().max()))


@pytest.mark.parametrize("deep", [False, True])
def test_residual_networks_answer_as_those_of_another_library(deep):
    transformers = pytest.importorskip("transformers")
    import re

    sizes = [32, 64, 128, 256] if deep else [8, 16, 32, 64]
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=sizes, depths=[2, 1, 2, 1], layer_type="bottleneck" if deep else "basic",
                                       num_labels=5, downsample_in_bottleneck=False)
    shapes = residual((2, 1, 2, 1), deep, classes=5, first=8)

    def rename(name):
        name = name.replace("resnet.embedder.embedder.convolution", "conv1").replace("resnet.embedder.embedder.normalization", "bn1")
        name = name.replace("classifier.1.", "fc.")
        name = re.sub(r"resnet\.encoder\.stages\.(\d)\.layers\.(\d)\.", lambda m: f"layer{int(m[1]) + 1}.{m[2]}.", name)
        name = re.sub(r"layer\.(\d)\.convolution", lambda m: f"conv{int(m[1]) + 1}", name)
        name = re.sub(r"layer\.(\d)\.normalization", lambda m: f"bn{int(m[1]) + 1}", name)
        return name.replace("shortcut.convolution", "downsample.0").replace("shortcut.normalization", "downsample.1")

    _compare(shapes, transformers.ResNetForImageClassification(config), rename, 64)


def test_transformers_answer_as_those_of_another_library():
    transformers = pytest.importorskip("transformers")
    import re

    config = transformers.ViTConfig(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96, image_size=32, patch_size=8,
                                    num_labels=5, layer_norm_eps=1e-6)

    def rename(name):
        name = name.replace("vit.embeddings.cls_token", "class_token").replace("vit.embeddings.position_embeddings", "encoder.pos_embedding")
        name = name.replace("vit.embeddings.patch_embeddings.projection", "conv_proj").replace("vit.layernorm", "encoder.ln")
        name = re.sub(r"^classifier", "heads.head", name)
        name = re.sub(r"vit\.(encoder\.)?layers?\.(\d)\.", r"encoder.layers.encoder_layer_\2.", name)
        name = re.sub(r"attention\.(attention\.)?(query|key|value)", r"\2", name)
        name = re.sub(r"attention\.([qkv])_proj", lambda m: {"q": "query", "k": "key", "v": "value"}[m[1]], name)
        name = name.replace("attention.output.dense", "self_attention.out_proj").replace("attention.o_proj", "self_attention.out_proj")
        name = name.replace("layernorm_before", "ln_1").replace("layernorm_after", "ln_2")
        name = name.replace("intermediate.dense", "mlp.0").replace("mlp.fc1", "mlp.0").replace("mlp.fc2", "mlp.3")
        return re.sub(r"(encoder_layer_\d)\.output\.dense", r"\1.mlp.3", name)

    _compare({}, transformers.ViTForImageClassification(config), rename, 32)


def test_convnext_answers_as_that_of_another_library():
    transformers = pytest.importorskip("transformers")
    import re

    config = transformers.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 2, 1, 1], num_labels=5)
    shapes = convnext((8, 16, 24, 32), (1, 2, 1, 1), classes=5)

    def rename(name):
        name = name.replace("convnext.embeddings.patch_embeddings", "features.0.0").replace("convnext.embeddings.layernorm", "features.0.1")
        name = name.replace("convnext.layernorm", "classifier.0")
        name = re.sub(r"^classifier\.(weight|bias)", r"classifier.2.\1", name) if "convnext" not in name else name
        name = re.sub(r"convnext\.encoder\.stages\.(\d)\.downsampling_layer\.", lambda m: f"features.{2 * int(m[1])}.", name)
        name = re.sub(r"convnext\.encoder\.stages\.(\d)\.layers\.", lambda m: f"features.{2 * int(m[1]) + 1}.", name)
        name = name.replace("layer_scale_parameter", "layer_scale").replace("dwconv", "block.0").replace("pwconv1", "block.3").replace("pwconv2", "block.5")
        return re.sub(r"(features\.[1357]\.\d)\.layernorm", r"\1.block.2", name)

    first = {}

    def once(name):
        new = rename(name)
        if name.startswith("convnext.layernorm"):
            first[new] = True
        return new

    _compare(shapes, transformers.ConvNextForImageClassification(config), once, 64)


def test_vgg_answers_as_the_plain_list_of_its_layers():
    shapes = vgg([4, "M", 6, 6, "M"], True, classes=5)
    shapes = {n: s for n, s in shapes.items() if not n.startswith("classifier")} | {"classifier.weight": (5, 6), "classifier.bias": (5,)}
    fit = architectures.infer(shapes)
    module = _filled(fit.module.to_empty(device="cpu"))
    plain = nn.Sequential(*list(module.features), nn.AdaptiveAvgPool2d(1), nn.Flatten(), module.classifier)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(module(x), plain(x)) and [type(m).__name__ for m in module.features].count("MaxPool2d") == 2


def test_wrapped_models_and_linear_layers_by_number():
    plain = nn.Sequential(nn.Flatten(), nn.Linear(48, 6), nn.ReLU(), nn.Linear(6, 3))
    fit = architectures.module_of({f"module.{n}": t.numpy() for n, t in plain.state_dict().items()})
    assert fit.modality == "image" and fit.shape == (4, 4, 3) and any("module." in n for n in fit.notes) and any("ReLU" in n for n in fit.notes)
    x = torch.rand(2, 3, 4, 4)
    assert torch.equal(fit.module(x), plain(x))
    with pytest.raises(UsageError, match="no known network"):
        architectures.module_of({n: t.numpy() for n, t in nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2)).state_dict().items()})


@pytest.mark.parametrize("name", sorted(builds.IMAGE_BUILDS))
def test_own_builds_are_told_apart(name):
    for classes, width, channels in ((2, 4, 3), (10, 12, 1)):
        module = builds.IMAGE_BUILDS[name](classes, width, channels=channels)
        assert architectures.infer({n: tuple(t.shape) for n, t in module.state_dict().items()}).family == name


def test_whole_numbers_are_no_weights():
    state = {n: (t.numpy() * 100).astype(np.int8) if t.is_floating_point() else t.numpy() for n, t in builds.resnet(3, 4).state_dict().items()}
    with pytest.raises(UnreadableInput, match="quantised"):
        architectures.module_of(state)
    assert families.highest({"layer3.0.x": ()}, r"layer(\d+)\.") == 4
