"""The static look at TorchScript: what torch writes passes, what reaches out is refused, what is unknown or written otherwise does not pass."""

import io
import zipfile

import pytest

from bezoar.core.limits import Limits
from bezoar.intake.models.archive import Archive
from bezoar.intake.models.parsing import Nowhere, parse
from bezoar.intake.models.script_operators import PLAIN, PRIM, REACHING
from bezoar.intake.models.script_scan import _program, look, tokens_of
from bezoar.intake.models.verdicts import Hostile, Stopped, Unknown
from bezoar.testing.hostile.models.kit import GOOD, call, makes, stream, text, zipped

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


def saved(module):
    out = io.BytesIO()
    torch.jit.save(module, out)
    return out.getvalue()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                  nn.Dropout(), nn.LayerNorm(4), nn.Linear(4, 3))

    def forward(self, x):
        y = self.body(x)
        if bool(y.sum() > 0):
            y = y * 2
        return y


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.LSTM(4, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.inner(x)[0][:, -1])


BENIGN = {"script": lambda: torch.jit.script(Net().eval()), "frozen": lambda: torch.jit.freeze(torch.jit.script(Net().eval())),
          "trace": lambda: torch.jit.trace(Net().body.eval(), torch.zeros(1, 3, 8, 8)), "lstm": lambda: torch.jit.script(Recurrent().eval()),
          "attention": lambda: torch.jit.script(nn.TransformerEncoderLayer(8, 2, 8, batch_first=True).eval())}


@pytest.mark.parametrize("name", BENIGN)
def test_what_torch_writes_passes_and_is_no_weights_file(name):
    raw = saved(BENIGN[name]())
    look(Archive(memoryview(raw), 1 << 28), Limits())
    told = parse(memoryview(raw), ".pt", Limits(), Nowhere(1 << 28))
    assert told["verdict"] == "inconclusive" and told["kind"] == "torchscript" and told["extra"]["opens as"] == "black box"
    assert "holds a program" in told["reasons"][0]


class Reads(nn.Module):
    def forward(self, x):
        return x + torch.from_file("/etc/passwd", False, 4)


class Unusual(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvals(x).real


class Forks(nn.Module):
    def forward(self, x):
        return torch.jit.wait(torch.jit.fork(torch.relu, x))


@pytest.mark.parametrize(("module", "verdict", "says"), [(Reads, "refused", "aten::from_file"), (Unusual, "inconclusive", "aten::linalg_eigvals"),
                                                         (Forks, "inconclusive", "'fork'")])
def test_programs_that_torch_wrote_and_are_not_run(module, verdict, says):
    raw = saved(torch.jit.script(module()))
    told = parse(memoryview(raw), ".pt", Limits(), Nowhere(1 << 28))
    assert told["verdict"] == verdict and says in told["reasons"][0], told["reasons"]
    assert "opens as" not in told["extra"]


@pytest.mark.parametrize(("line", "error"), [
    ('torch.from_file("x")', Hostile), ("ops.aten.from_file(x)", Hostile), ("torch . from_file(x)", Hostile), ("torch\n.\nfrom_file(x)", Hostile),
    ("torch.save(x, y)", Hostile), ("ops.rpc.rpc_async(x)", Hostile), ("ops.c10d.send(x)", Hostile), ("ops.prim.PythonOp(x)", Hostile),
    ("_0 = torch", Unknown), ("_0 = ops.aten", Unknown), ("_0 = ops", Unknown), ('getattr(torch, "from_file")', Unknown), ("(torch).from_file(x)", Unknown),
    ("torch.relu.x", Unknown), ("...torch.set_(x)", Unknown), ("torch.set_(x)", Unknown), ("torch.resize_(x)", Unknown), ("ops.mine.go(x)", Unknown),
    ("__torch__.torch.classes.a.B()", Unknown), ("_0 = __torch__.torch\n_0.classes.a.B()", Unknown), ("fork(x)", Unknown), ("import os", Unknown),
    ("torch.relu(x) # torch", Unknown), ('b"x"', Unknown), ('"""x"""', Unknown), ('"a""b"', Unknown), ("torch.\\\nfrom_file(x)", Unknown),
    ("x;torch.relu(x)", Unknown), ("\ttorch.relu(x)", Unknown), ("torch.relu(x)\r", Unknown), ("\u200btorch.relu(x)", Unknown),
    ("t\u043erch.from_file(x)", Unknown), ("'unfinished", Unknown), ("$x", Unknown), ("torch.__import__(x)", Unknown)])
def test_lines_that_do_not_pass(line, error):
    with pytest.raises(error):
        _program(line.encode(), "code/__torch__.py")


def test_lines_that_pass():
    _program(b'class M(Module):\n  x : Tensor\n  def forward(self: __torch__.M, x: Tensor) -> Tensor:\n    _0 = __torch__.torch.nn.functional.f\n'
             b'    a = torch.add_(self.classes, -1.5e-05)\n    ops.prim.RaiseException("torch.from_file # \\" \\n", \'x\')\n    return a\n', "code/__torch__.py")


@pytest.mark.parametrize("text_of", ["torch.add(x, 1.e-5)", "a=='b'!=\"c\"", "x[0:-1]", "1.0000000000000001e-05"])
def test_no_sign_is_lost(text_of):
    assert "".join(tokens_of(text_of)) == text_of.replace(" ", "")


def test_no_operator_that_is_run_takes_a_path_or_an_object():
    known = {}
    for schema in torch._C._jit_get_all_schemas():
        known.setdefault(schema.name, []).append(schema)
    assert not [n for n in PLAIN if f"aten::{n}" not in known] and not [n for n in PRIM if f"prim::{n}" not in known]
    assert not PLAIN & set(REACHING)
    for name in PLAIN:
        for schema in known[f"aten::{name}"] + known.get(f"aten::{name}_", []):
            for argument in schema.arguments:
                kind = str(argument.type)
                assert not any(w in argument.name for w in ("file", "address", "host")), schema
                assert not any(w in kind for w in ("Storage", "PyObject", "Stream", "__torch__")), schema


def edited(**more):
    """A saved script with members replaced or added; None leaves one out."""
    with zipfile.ZipFile(io.BytesIO(saved(torch.jit.script(nn.Linear(2, 2))))) as archive:
        names = archive.namelist()
        top = names[0].partition("/")[0]
        members = {n: archive.read(n) for n in names}
    for name, data in more.items():
        members.pop(f"{top}/{name}", None)
        if data is not None:
            members[f"{top}/{name}"] = data
    return zipped(members)


@pytest.mark.parametrize(("more", "verdict", "says"), [
    ({}, "inconclusive", "holds a program"), ({"data.pkl": GOOD}, "inconclusive", "no module"), ({"constants.pkl": None}, "inconclusive", ""),
    ({"constants.pkl": stream(call("os", "system", text("id")))}, "refused", "os.system"),
    ({"data.pkl": stream(call("builtins", "eval", text("1")))}, "refused", "eval"), ({"data.pkl": stream(call("mine", "Thing"))}, "inconclusive", "mine.Thing"),
    ({"data.pkl": stream(call("__torch__.torch.classes.a", "B"))}, "inconclusive", "classes"),
    ({"code/__torch__/x.py.debug_pkl": stream(call("os", "system", text("id")))}, "refused", "os.system"),
    ({"code/setup.py": b"import os"}, "refused", "setup.py"), ({"code/__torch__/../x.py": b""}, "refused", ""), ({"evil.pkl": GOOD}, "refused", "evil.pkl"),
    ({"bytecode.pkl": GOOD}, "inconclusive", "telephones"), ({"code/__torch__/x.py": b"def f() -> Tensor:\n  return torch.from_file()\n"}, "refused", "from_file"),
    ({"code/__torch__/x.py": b"x" * (17 << 20)}, "inconclusive", "longer than")])
def test_archives_that_were_edited(more, verdict, says):
    raw = edited(**more)
    told = parse(memoryview(raw), ".pt", Limits(), Nowhere(1 << 28))
    assert told["verdict"] == verdict and says in told["reasons"][0], told["reasons"]
    assert ("opens as" in told["extra"]) == (not more)


def test_every_flip_in_the_pickle_ends_in_a_verdict(tmp_path):
    raw = edited()
    for place in range(0, len(raw), 7):
        bad = raw[:place] + bytes([raw[place] ^ 0x10]) + raw[place + 1:]
        assert parse(memoryview(bad), ".pt", Limits(), Nowhere(1 << 28))["verdict"] in ("refused", "inconclusive")
    with pytest.raises(Stopped):
        look(Archive(memoryview(edited(**{"data.pkl": stream(makes(tmp_path))})), 1 << 28), Limits())
