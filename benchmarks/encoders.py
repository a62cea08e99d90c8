"""Prepared weights: do attacks on models implant, is a prepared encoder or adapter seen before tuning, is an inherited trigger seen after?

    python benchmarks/encoders.py [--dataset digits] [--networks vgg,resnet] [--seeds 5] [--minutes 30]
    python benchmarks/encoders.py --table          what results/encoders.json says, as Markdown

Every encoder is held against eight clean ones of the same shape, made with other seeds on other draws of the samples; nobody tells the
audit the mark, the place or the class. `imitations`: held against clean imitations instead. A tuned model has a new head, alone ("head") or
with all layers ("all"). Adapters are held against ten clean ones for the same network. Resumable; encoders are kept under the temporary
folder.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import realdata
from bezoar import inheritance, pretrained, registry
from bezoar.core.dataset import Dataset
from bezoar.core.inputs import Images
from bezoar.core.model_attack import AttackCase, Implanted
from bezoar.core.model_repair import Samples
from bezoar.maths.low_rank import spectrum, strangeness
from bezoar.maths.multiple import clopper_pearson
from bezoar.networks import adapters, builds, training
from bezoar.networks.bodies import body_of
from bezoar.networks.implanting import success
from bezoar.networks.reading import logits_of
from bezoar.networks.tuning import share_right, tune
from bezoar.networks.twins import suspect_of
from bezoar.sources.suspects import encoder_from
from ledger import RESULTS, SOURCE, Ledger, _hash
from measure import interval

CACHE = Path(tempfile.gettempdir()) / "bezoar-encoders"
REFERENCES, ADAPTERS, FIRST_REFERENCE = 8, 10, 10_000
WIDTH, ALPHA, CONTROLS = 8, 0.05, 39
SIZES = {"digits": (900, 300, 200), "mnist_t10k": (3000, 500, 400)}
"""Samples to train with, for the attacker and whoever tunes, for whoever audits; the rest measures."""
EPOCHS = {"digits": 6, "mnist_t10k": 3}
EDIT: dict[str, dict[str, Any]] = {"digits": {}, "mnist_t10k": {"neurons": 8, "layers": 7, "steps": 250, "size": 4}}
"""What a weight edit is given: with its defaults it moves a quarter of larger pictures (development seed 100)."""
KEYS = ("what", "dataset", "network", "seed", "bad", "how")
PARTS = ("networks/gathering.py", "networks/imitating.py", "networks/bodies.py", "networks/adapters.py", "networks/implanting.py",
         "networks/tuning.py", "networks/training.py", "networks/builds.py", "maths/low_rank.py", "pretrained.py", "inheritance.py",
         "transplant.py")
ATTACKS = ("weight_edit.py", "poisoned_encoder.py", "lora_backdoor.py")
Row = dict[str, Any]


def version() -> str:
    """Changes with any code that can change a figure."""
    planted = hashlib.sha256(b"".join((SOURCE / "attacks" / name).read_bytes() for name in ATTACKS)).hexdigest()
    return _hash([SOURCE / p for p in PARTS])[:8] + planted[:4]


def parts(dataset: str, seed: int) -> tuple[Samples, Samples, Samples, Samples]:
    """Draws of the samples: to train with, the attacker's, the auditor's, the rest (1000 at most)."""
    if dataset == "digits":
        from sklearn.datasets import load_digits

        d = load_digits()
        x, codes = np.repeat((d.images * 15.9375).astype(np.uint8)[..., None], 3, 3), d.target.astype(np.int64)
    else:
        data = realdata.ALL[dataset]()
        x, codes = data.inputs.dense(), data.labels.codes
    order = np.random.default_rng([seed, 9]).permutation(len(x))
    ends = np.cumsum(SIZES[dataset])
    whole = Samples(x, codes)
    a, b, c, d4 = np.split(order, ends)
    return whole.take(a), whole.take(b), whole.take(c), whole.take(d4[:1000])


def clean(dataset: str, network: str, seed: int) -> Any:
    """A network trained on its draw; kept."""
    import torch

    build: Callable[..., Any] = builds.IMAGE_BUILDS[network]
    place = CACHE / f"{dataset}-{network}-{WIDTH}-{seed}.npz"
    with training.seeded(seed):
        module = build(10, WIDTH)
        if place.exists():
            with np.load(place, allow_pickle=False) as kept:
                module.load_state_dict({k: torch.from_numpy(np.array(kept[k])) for k in kept.files})
            return module.eval()
        train = parts(dataset, seed)[0]
        module = training.fit(module, train.x, train.codes, np.random.default_rng([seed, 2]), tensor=training.pictures,
                              epochs=EPOCHS[dataset], shift=1 if train.x.shape[1] >= 16 else 0)
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.with_suffix(".part"), "wb") as file:
        np.savez(file, **{k: v.numpy() for k, v in module.state_dict().items()})
    place.with_suffix(".part").replace(place)
    return module


def attacked(name: str, module: Any, samples: Samples, seed: int, **parameters: Any) -> Implanted:
    case = AttackCase(module, training.pictures, tuple(map(str, range(10))), samples)
    return registry.make("attacks", name, parameters)(case, np.random.default_rng([seed, 3]))


def attack_row(name: str, module: Any, done: Implanted, test: Samples) -> Row:
    case = AttackCase(module, training.pictures, tuple(map(str, range(10))), test)
    rng = np.random.default_rng(0)
    return {"what": "attack", "how": name, "bad": True, "success": success(done.module, case, done.trigger, done.target, rng),
            "twin": success(module, case, done.trigger, done.target, rng), "share": done.budget["share"],
            "accuracy_before": share_right(module, test.x, test.codes, training.pictures),
            "accuracy_after": share_right(done.module, test.x, test.codes, training.pictures)}


def tuned(module: Any, samples: Samples, seed: int, how: str) -> Any:
    """A new head on the body of `module`; with "all" every layer moves."""
    from torch.nn import functional

    out = copy.deepcopy(module)
    with training.seeded(seed):
        out.head.reset_parameters()
        tune(out, samples.x, samples.codes, np.random.default_rng([seed, 4]), tensor=training.pictures,
             rate=0.02 if how == "head" else 0.01,
             loss=lambda m, inputs, own, _: functional.cross_entropy(logits_of(m(inputs)), own), steps=200,
             parameters=out.head.parameters() if how == "head" else None)
    return out


def encoder_rows(dataset: str, network: str, seed: int, references: list[Any], imitations: bool) -> list[Row]:
    """A clean and a prepared encoder: the attack, the audit before, the tuned models and the check after."""
    _, own, trusted, test = parts(dataset, seed)
    module = clean(dataset, network, seed)
    size = trusted.x.shape[1:]
    given = Dataset.from_arrays(trusted.x, trusted.codes, name=dataset)
    done = attacked("poisoned-encoder", module, own, seed)
    rows = [attack_row("poisoned-encoder", module, done, test)]
    sizes: dict[str, float] = {}
    for bad, network_ in ((False, module), (True, done.module)):
        body = encoder_from(body_of(network_), size, tensor=training.pictures)
        for how in ("references", *(("imitations",) if imitations else ())):
            report = pretrained.audit_encoder(body, given, references=references if how == "references" else None, seed=seed, alpha=ALPHA,
                                              controls=CONTROLS, known=sizes)
            rows.append({"what": "encoder", "bad": bad, "how": how, "p_value": report.subject["p_value"], "verdict": report.verdict,
                         "size": report.plan["size"], "notes": " | ".join(report.notes)})
            if how == "references":
                found = report
        for how in ("head", "all"):
            model = tuned(network_, own, seed, how)
            suspect = suspect_of(model, tuple(map(str, range(10))), size[0])
            planted = inheritance.works(suspect, done.trigger, Images.of(test.x), np.random.default_rng(0), 1)
            said = inheritance.audit_inheritance(suspect, found, given, seed=seed, alpha=ALPHA, controls=CONTROLS)
            rows.append({"what": "tuned", "bad": bad, "how": how, "success": planted.share, "verdict": said.verdict,
                         "p_value": said.subject["p_value"], "accuracy": share_right(model, test.x, test.codes, training.pictures),
                         "found": found.verdict, "words": said.outcomes[-1].reason})
    return rows


def spectra(pairs: dict[str, adapters.Pair]) -> np.ndarray:
    return np.stack([spectrum(*p.flat()) for p in pairs.values()])


def adapter_of(module: Any, dataset: str, seed: int, bad: bool) -> Implanted:
    """A clean or a backdoored adapter, trained on the attacker's draw of that seed; the rank and the length are the same."""
    return attacked("lora-backdoor", module, parts(dataset, seed)[1], seed, **({} if bad else {"rate": 0.0}))


def adapter_rows(dataset: str, network: str, seeds: list[int]) -> list[Row]:
    """Clean and backdoored adapters for one network, each held against the same clean ones."""
    base = clean(dataset, network, FIRST_REFERENCE)
    held = np.stack([spectra(adapters.pairs_of(adapter_of(base, dataset, FIRST_REFERENCE + 1 + i, False).adapter or {}))
                     for i in range(ADAPTERS)])
    rows = []
    for seed in seeds:
        for bad in (False, True):
            done = adapter_of(base, dataset, seed, bad)
            _, p, _ = strangeness(spectra(adapters.pairs_of(done.adapter or {})), held)
            rows.append({"what": "adapter", "bad": bad, "how": "spectra", "seed": seed, "p_value": p, "called": bool(p <= ALPHA)})
            if bad:
                rows.append({**attack_row("lora-backdoor", base, done, parts(dataset, seed)[3]), "seed": seed})
    return rows


def rate(rows: list[Row], hit: Callable[[Row], bool]) -> str:
    """Share of rows with its exact 95% interval."""
    k, n = sum(map(hit, rows)), len(rows)
    low, high = clopper_pearson(k, n)
    return f"{k} of {n} ({low:.0%} to {high:.0%})" if n else "-"


def mean(rows: list[Row], key: str) -> str:
    value, low, high = interval([float("nan") if r.get(key) is None else float(r[key]) for r in rows])
    return "-" if value != value else f"{value:.1%}" + ("" if low != low else f" ({max(low, 0):.1%} to {min(high, 1):.1%})")


def section(rows: list[Row]) -> list[str]:
    """The section of the benchmarks page: tables of attacks, of encoders before tuning, of tuned models, of adapters."""
    if not rows:
        return []
    head = ("attack", "data", "network", "runs", "success", "on the clean network", "accuracy before", "after", "numbers changed")
    out = ["## Prepared weights", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    groups = dict.fromkeys((r["how"], r["dataset"], r["network"]) for r in rows if r["what"] == "attack")
    for how, data, network in groups:
        some = [r for r in rows if r["what"] == "attack" and (r["how"], r["dataset"], r["network"]) == (how, data, network)]
        out.append(f"| {how} | {data} | {network} | {len(some)} | " + " | ".join(
            mean(some, k) for k in ("success", "twin", "accuracy_before", "accuracy_after", "share")) + " |")
    out += ["", "| looked at | data | held against | prepared ones called | clean ones called |", "|---|---|---|---|---|"]
    for what, data, how in dict.fromkeys((r["what"], r["dataset"], r["how"]) for r in rows if r["what"] in ("encoder", "tuned", "adapter")):
        some = [r for r in rows if (r["what"], r["dataset"], r["how"]) == (what, data, how)]
        named = {"encoder": "encoder before tuning", "tuned": f"tuned model ({how})", "adapter": "adapter"}[what]
        against = {"encoder": how, "tuned": "matched controls", "adapter": "clean adapters"}[what]
        out.append(f"| {named} | {data} | {against} | {rate([r for r in some if r['bad']], called)} | "
                   f"{rate([r for r in some if not r['bad']], called)} |")
    after = [r for r in rows if r["what"] == "tuned" and r["bad"]]
    out += ["", *(f"Success of the planted mark after tuning ({how}): {mean([r for r in after if r['how'] == how], 'success')}."
                  for how in dict.fromkeys(r["how"] for r in after)),
            "", f"Seeds: {', '.join(map(str, sorted({r['seed'] for r in rows})))}; alarms at {ALPHA:.0%}; intervals are 95%.", ""]
    return out


def called(row: Row) -> bool:
    return bool(row["called"]) if "called" in row else row["verdict"] in ("suspicious", "poisoned")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits", choices=list(SIZES))
    parser.add_argument("--networks", default="vgg,resnet")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="first seed; development uses 100 and above")
    parser.add_argument("--parts", default="encoder,edit,adapter", help="which of them to run")
    parser.add_argument("--imitations", action="store_true", help="hold encoders against clean imitations too (slow)")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--out", type=Path, default=RESULTS / "encoders.json")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    ledger = Ledger(given.out, KEYS)
    if given.table:
        print("\n".join(section(ledger.rows)))
        return 0
    stop, code = time.monotonic() + 60 * given.minutes, version()
    seeds = list(range(given.first, given.first + given.seeds))

    def keep(row: Row, network: str, seed: int) -> None:
        ledger.add({"dataset": given.dataset, "network": network, "seed": seed, "version": code, **row})
        print({k: v for k, v in row.items() if k != "notes"}, flush=True)

    for network in given.networks.split(","):
        here = {"dataset": given.dataset, "network": network}
        if "adapter" in given.parts and not all(ledger.has(code, what="adapter", seed=s, bad=True, how="spectra", **here) for s in seeds):
            for row in adapter_rows(given.dataset, network, seeds):
                keep(row, network, row["seed"])
        references = None
        for seed in seeds:
            if "edit" in given.parts and time.monotonic() < stop and not ledger.has(
                    code, what="attack", seed=seed, bad=True, how="weight-edit", **here):
                module, (_, own, _, test) = clean(given.dataset, network, seed), parts(given.dataset, seed)
                done = attacked("weight-edit", module, own, seed, **EDIT[given.dataset])
                keep(attack_row("weight-edit", module, done, test), network, seed)
            how = "imitations" if given.imitations else "references"
            if "encoder" in given.parts and time.monotonic() < stop and not ledger.has(
                    code, what="encoder", seed=seed, bad=True, how=how, **here):
                size = parts(given.dataset, seed)[2].x.shape[1:]
                references = references or [encoder_from(body_of(clean(given.dataset, network, FIRST_REFERENCE + 1 + i)), size,
                                                         tensor=training.pictures) for i in range(REFERENCES)]
                for row in encoder_rows(given.dataset, network, seed, references, given.imitations):
                    keep(row, network, seed)
    print("\n".join(section(ledger.rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
