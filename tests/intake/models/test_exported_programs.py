"""Programs of `torch.export`: followed to the last digits, opened as modules, audited like weights; what is not followed is said in a sentence."""

import copy
import json
import zipfile
from io import BytesIO

import numpy as np
import pytest

from bezoar.core.errors import AbilityFailed, LimitExceeded, UnreadableInput, UsageError
from bezoar.core.inputs import Column, Images, Table, Texts
from bezoar.core.limits import Limits
from bezoar.intake.models import inspect, read_weights
from bezoar.intake.models.parsing import Nowhere, parse
from bezoar.testing.hostile.models.exports import batch, export, meta, node, nodes
from bezoar.testing.hostile.models.kit import torch_zip, zipped

torch = pytest.importorskip("torch")
from exporting import NETWORKS, archive, network  # noqa: E402

from bezoar.intake.models.exported_module import module_of  # noqa: E402
from bezoar.intake.models.exported_operators import OPERATORS, VIEWS  # noqa: E402
from bezoar.sources.suspects import open_suspect, save_safetensors, suspect_from  # noqa: E402


def put(folder, raw, name="model.pt2"):
    path = folder / name
    path.write_bytes(raw)
    return path


def followed(raw, folder):
    weights = read_weights(put(folder, raw))
    assert weights.verdict == "safe" and weights.kind == "exported", weights.reasons
    return module_of(weights.extra["program"], weights.arrays)


@pytest.mark.parametrize("core", [False, True])
@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_answers_are_those_of_the_network(name, free, core, tmp_path):
    module, x = network(name)
    ours = followed(archive(module, x, free, core), tmp_path)
    with torch.no_grad():
        assert torch.allclose(ours(x), module(x), atol=1e-5)
    x.requires_grad_(True)
    mine, theirs = (torch.autograd.grad(m(x)[:, 1].sum(), x)[0] for m in (ours, module))
    assert torch.allclose(mine, theirs, atol=1e-5) and float(mine.abs().max()) > 0


def test_layers_are_layers_under_their_names(tmp_path):
    module, x = network("residual")
    ours = followed(archive(module, x), tmp_path)
    assert {n for n, _ in ours.layers.named_parameters()} == set(dict(module.named_parameters())) and not list(ours.alone.parameters())
    kinds = [type(m).__name__ for m in ours.modules()]
    assert kinds.count("Conv2d") == 4 and kinds.count("BatchNorm2d") == 3 and kinds.count("Linear") == 1
    again = copy.deepcopy(ours)
    for part in again.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    assert not torch.allclose(again(x), ours(x)) and repr(again) == repr(ours)


def test_the_list_holds_operators_of_torch_that_reach_nothing():
    for whole, names in OPERATORS.items():
        name, _, overload = whole.partition(".")
        schema = getattr(getattr(torch.ops.aten, name), overload)._schema
        assert names <= {a.name for a in schema.arguments}, whole
        assert not any(w in str(a.type) for a in schema.arguments for w in ("Storage", "PyObject", "Stream", "__torch__", "Generator"))
        alias = any(r.alias_info is not None for r in schema.returns)
        assert not alias or whole in VIEWS, f"{whole} may answer with its operand, so it has to count as a view"


def test_the_small_archive_of_the_corpus_is_in_order(tmp_path):
    """What is refused in the hostile ones is their edit, and not the archive."""
    suspect = open_suspect(put(tmp_path, export()), shape=(3,))
    table = Table({c: Column("number", np.array(v, float)) for c, v in (("a", [1, 0]), ("b", [0, 1]), ("c", [0, 0]))})
    p = suspect.predict(table)
    assert np.allclose(p[:, 1] / p[:, 0], np.exp([3, 3])) and suspect.module is not None


def steps(*more):
    """The linear layer, then these; the last one answers."""
    def edit(told):
        nodes(told)[1:] = more
        told["graph_module"]["signature"]["output_specs"][0]["user_output"]["arg"]["as_tensor"]["name"] = more[-1]["name"]
    return edit


BIG = [{"as_int": n} for n in (2, 1 << 30, 2)]


@pytest.mark.parametrize("raw", [
    export(steps(node("torch.ops.aten.unsqueeze.default", "u", self="linear", dim={"as_int": 1}),
                 node("torch.ops.aten.expand.default", "e", self="u", size={"as_ints": [-1, 1 << 30, -1]}),
                 node("torch.ops.aten.clone.default", "c", self="e"), node("torch.ops.aten.mean.dim", "m", self="c", dim={"as_ints": [1]}))),
    export(steps(node("torch.ops.aten.constant_pad_nd.default", "p", self="linear", pad={"as_ints": [0, 1 << 38]}))),
    export(steps(*(node("torch.ops.aten.cat.default", f"c{i + 1}", tensors={"as_tensors": [{"name": f"c{i}" if i else "linear"}] * 8}, dim={"as_int": 1})
                   for i in range(12))))])
def test_programs_that_want_all_memory_are_stopped(raw, tmp_path):
    assert inspect(put(tmp_path, raw)).verdict == "safe"  # nothing in it runs code: it is only too large
    with pytest.raises((LimitExceeded, UnreadableInput, AbilityFailed)):
        open_suspect(tmp_path / "model.pt2")


def test_a_program_that_cannot_run_is_an_error_and_not_a_crash(tmp_path):
    for more in (node("torch.ops.aten.view.default", "v", self="linear", size={"as_ints": [7, 7]}), node("torch.ops.aten.mm.default", "v", self="x", mat2="x"),
                 node("torch.ops.aten.select.int", "v", self="x", dim={"as_int": 9}, index={"as_int": 0}),
                 node("torch.ops.aten.softmax.int", "v", self="linear", dim={"as_string": "1"})):
        with pytest.raises(Exception, match=r"model\.pt2|program|model|input") as caught:
            open_suspect(put(tmp_path, export(steps(more))))
        assert type(caught.value).__module__ == "bezoar.core.errors"


def test_every_flip_in_an_archive_ends_in_a_verdict():
    raw = export()
    whole, passed = parse(memoryview(raw), ".pt2", Limits(), Nowhere(1 << 28)), 0
    for place in range(0, len(raw), 5):
        bad = raw[:place] + bytes([raw[place] ^ 0x10]) + raw[place + 1:]
        told = parse(memoryview(bad), ".pt2", Limits(), Nowhere(1 << 28))
        passed += told["verdict"] == "safe"
        assert told["verdict"] in ("refused", "inconclusive") or told == whole  # the hour at which a member was written
    assert passed < 10 * len(raw) / 5 / 100


def test_arrays_may_be_pickles_and_the_older_layout_is_read(tmp_path):
    module, x = network("rows")
    members = {}
    with zipfile.ZipFile(BytesIO(archive(module, x))) as z:
        members = {n.partition("/")[2]: z.read(n) for n in z.namelist()}
    told, out = json.loads(members["data/weights/model_weights_config.json"]), BytesIO()
    first = told["config"]["0.weight"]
    torch.save(dict(module.state_dict())["0.weight"].clone(), out)
    first["use_pickle"], members[f"data/weights/{first['path_name']}"] = True, out.getvalue()
    members["data/weights/model_weights_config.json"] = json.dumps(told).encode()
    assert torch.allclose(followed(zipped({f"e/{n}": r for n, r in members.items()}), tmp_path)(x), module(x), atol=1e-6)

    state = BytesIO()
    torch.save(module.state_dict(), state)
    old = zipped({"serialized_exported_program.json": members["models/model.json"], "serialized_state_dict.pt": state.getvalue(),
                  "serialized_constants.pt": torch_zip(b"\x80\x02}.", {}), "version": b"8.2"})
    assert torch.allclose(followed(old, tmp_path)(x), module(x), atol=1e-6)


def test_programs_of_other_inputs_are_said(tmp_path):
    for edit, says in ((lambda t: t["graph_module"]["graph"]["tensor_values"]["x"].update(dtype=5), "float32"),
                       (lambda t: t["graph_module"]["signature"]["input_specs"].append({"user_input": {"arg": {"as_tensor": {"name": "y"}}}}), "2 inputs"),
                       (lambda t: t["graph_module"]["graph"]["tensor_values"].update(x=meta(batch(), 5, 4, 4)), "n x 5 x 4 x 4")):
        with pytest.raises(UnreadableInput, match=says):
            open_suspect(put(tmp_path, export(edit)))
    with pytest.raises(UsageError, match="texts"):
        open_suspect(put(tmp_path, export()), like=Texts.of(["a"]))


def test_the_audit_says_what_it_says_of_the_same_weights(tmp_path):
    """White box: every check that reads layers reads those of the program."""
    from bezoar import auditing
    from bezoar.networks.builds import resnet

    torch.manual_seed(0)
    plain = resnet(4, width=4).eval()
    path = put(tmp_path, archive(plain, torch.randn(2, 3, 12, 12)))
    save_safetensors(suspect_from(plain, [], (12, 12, 3), pixels="-1..1"), tmp_path / "same.safetensors")
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 12, 12, 3)).astype(np.uint8), [str(i % 4) for i in range(40)]
    names = ["weights", "max-margin", "neuron-noise", "latent-shift", "universal-shift"]
    said = [auditing.audit(p, data=x, y=y, pixels="-1..1", effort="quick", auditors=names).plan["judgement"] for p in (path, tmp_path / "same.safetensors")]
    assert set(said[0]["channels"]) == set(said[1]["channels"]) and len(said[0]["channels"]) >= 4
    assert all(abs(said[0]["channels"][n] - said[1]["channels"][n]) < 0.05 for n in said[0]["channels"])
    suspect = open_suspect(path, pixels="-1..1")
    assert suspect.shape == (12, 12, 3) and "followed by bezoar" in suspect.notes[0]
    assert np.allclose(suspect.predict(Images.of(x)), open_suspect(tmp_path / "same.safetensors").predict(Images.of(x)), atol=1e-5)


def test_a_program_that_insists_on_its_batch_is_only_asked(tmp_path):
    module, x = network("rows")
    free = open_suspect(put(tmp_path, archive(module, x, free=False)))
    assert free.module is not None and free.module.fixed is None
    told = export(lambda t: (t["graph_module"]["graph"]["tensor_values"].update(x=meta(2, 3)),
                             steps(node("torch.ops.aten.view.default", "v", self="linear", size={"as_ints": [2, 2]}))(t)))
    fixed = open_suspect(put(tmp_path, told))
    assert fixed.module is None and "batch of 2" in fixed.notes[-1]
    table = Table({c: Column("number", np.arange(5.0)) for c in "abc"})
    assert fixed.predict(table).shape == (5, 2)
