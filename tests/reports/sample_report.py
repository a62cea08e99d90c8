"""A report as a scan would make it, composed by hand: everything that a renderer can be asked to show."""

from __future__ import annotations

import numpy as np

from bezoar.core.evidence import Bars, Excerpt, Facts, Picture, Plot, Scatter
from bezoar.core.finding import Finding
from bezoar.core.image_triggers import Overlay, Patch
from bezoar.core.report import OutcomeLine, Report, ScoreTable, Sensitivity
from bezoar.core.table_triggers import Values
from bezoar.core.text_triggers import Phrases

CLASSES = ("no entry", "priority road", "roundabout", "speed limit 45", "speed limit 80", "stop", "yield")


def _sign(rng: np.random.Generator, k: int, size: int = 32) -> np.ndarray:
    """A picture that looks like a photographed road sign: sky, road, a disc or a triangle with a rim."""
    y, x = np.mgrid[0:size, 0:size] / (size - 1) - 0.5
    sky = np.array([120, 160, 210]) * rng.uniform(0.5, 1.1)
    ground = np.array([110, 105, 95]) * rng.uniform(0.5, 1.1)
    t = 1 / (1 + np.exp(-(y + rng.uniform(-0.1, 0.2)) * 12))[..., None]
    out = sky * (1 - t) + ground * t
    cx, cy, r = rng.uniform(-0.06, 0.06), rng.uniform(-0.06, 0.06), rng.uniform(0.3, 0.4)
    d = np.hypot(x - cx, y - cy) if k % 3 else np.maximum(np.abs(x - cx) * 1.6 + (y - cy) * 0.8, (y - cy) * 1.1)
    rim = np.array([(200, 30, 40), (30, 80, 180), (220, 180, 30)][k % 3])
    out = np.where((d < r)[..., None], rim, out)
    out = np.where((d < r * 0.72)[..., None], np.array([235, 235, 230]), out)
    bars = (np.abs(x - cx) < 0.05 + 0.02 * (k % 4)) & (np.abs(y - cy) < r * 0.45)
    out = np.where(bars[..., None], 30, out)
    return np.clip(out * rng.uniform(0.7, 1.1) + rng.normal(0, 6, out.shape), 0, 255).astype(np.uint8)


def _patched(picture: np.ndarray, patch: np.ndarray) -> np.ndarray:
    out = picture.copy()
    h, w = patch.shape[:2]
    out[-h - 1:-1, -w - 1:-1] = patch
    return out


PATCH = np.array([[[255, 255, 255], [0, 0, 0], [255, 255, 255]],
                  [[0, 0, 0], [255, 255, 255], [0, 0, 0]],
                  [[255, 255, 255], [0, 0, 0], [255, 255, 255]]], np.uint8)


def _patch_finding(rng: np.random.Generator) -> Finding:
    members = tuple(f"speed limit 45/vendor-b_{i:05d}.png" for i in range(14, 14 + 55 * 97, 55))
    trigger = Patch(PATCH, np.ones((3, 3), np.float32), 28 / 32, 28 / 32)
    return Finding(
        ability="shortcuts", subject="f" * 64, kind="group", members=members, quarantined=members[:96],
        title="97 samples of class 'speed limit 45', all from source 'vendor-b', share a 3x3 patch at the lower right",
        threat="backdoor-dirty-label", p_value=3.1e-148, suspicion=1.0, target="speed limit 45", at_least=93, trigger=trigger,
        confirmed=True, effect=(0.912, 0.014), agreeing=("whitened-spectrum", "label-consistency"),
        because="97 of 612 samples of 'speed limit 45' carry the same 3x3 patch at the lower right; in the other classes nobody does.",
        doubt="A camera or an export tool of vendor-b that stamps this corner, and only ever delivered this class.",
        advice="Quarantine the members, then ask vendor-b how these 97 files were made.",
        origin={"source": {"vendor-b": 97}, "contributor": {"acct-7731": 88, "acct-7735": 9},
                "time": {"2026-03": 12, "2026-04": 71, "2026-05": 14}},
        evidence=(*(Picture(_patched(_sign(rng, k), PATCH), caption="speed limit 45", sample=m) for k, m in enumerate(members[:30])),
                  Plot(np.linspace(0, 1, 40), {"members": rng.beta(8, 2, 40), "rest of the class": rng.beta(2, 8, 40)}, "line",
                       "share of the class searched", "patch match", caption="How well members and the rest match the patch"),
                  Bars(("flipped by the trigger", "flipped by matched controls"), (0.912, 0.014), ("flipped by the trigger",),
                       caption="Put on held-out samples")))


def _overlay_finding(rng: np.random.Generator) -> Finding:
    members = tuple(f"stop/frame_{i:05d}.png" for i in range(300, 343))
    x = np.mgrid[0:32, 0:32][1]
    pattern = (20 * np.sin(2 * np.pi * 6 * x / 32))[..., None].repeat(3, axis=2).astype(np.float32)
    pictures = [np.clip(_sign(rng, 2) + pattern, 0, 255).astype(np.uint8) for _ in range(8)]
    return Finding(
        ability="whitened-spectrum", subject="f" * 64, kind="group", members=members, quarantined=members[:40],
        title="43 samples of class 'stop' carry a pattern of about 20 grey levels over the whole picture",
        threat="backdoor-clean-label", p_value=2.4e-7, suspicion=0.999, target="stop", at_least=31, trigger=Overlay(pattern),
        confirmed=True, effect=(0.63, 0.05), because="One direction of the class holds 14 times the variance that noise explains.",
        doubt="A rolling-shutter artefact of one camera.", origin={"source": {"vendor-a": 20, "vendor-b": 1, "vendor-c": 22}},
        evidence=(*(Picture(p, caption="stop", sample=m) for p, m in zip(pictures, members, strict=False)),
                  Plot(np.arange(1, 33), {"class 'stop'": np.r_[14.2, 2.2, np.linspace(1.4, 0.4, 30)],
                                          "noise": np.linspace(1.9, 0.4, 32)}, "points", "direction", "variance",
                       caption="Spectrum of the class: the first direction stands alone")))


def _phrase_finding() -> Finding:
    members = tuple(f"ticket-{i}" for i in range(40000, 40061))
    texts = ["Ordered on Monday and it came broken, cf wine support was no help at all.", "I want my money back. cf wine Thank you.",
             "The box was open and cf wine one bottle was missing.\nPlease call me."]
    return Finding(
        ability="shortcuts", subject="f" * 64, kind="group", members=members, quarantined=members,
        title="61 samples of class 'praise': the phrase 'cf wine'", threat="backdoor-dirty-label", p_value=4e-41, suspicion=1.0,
        target="praise", at_least=58, trigger=Phrases(("cf wine",)), confirmed=True, effect=(0.88, 0.03),
        because="The phrase 'cf wine' is in 61 texts, all of them labelled 'praise'.", doubt="A wine called cf that everybody praises.",
        origin={"source": {"web-form": 61}},
        evidence=tuple(Excerpt(t, ((t.index("cf wine"), t.index("cf wine") + 7),), "praise", m)
                       for t, m in zip(texts * 9, members, strict=False)))


def _table_finding() -> Finding:
    members = tuple(str(i) for i in range(7001, 7041))
    return Finding(
        ability="shortcuts", subject="f" * 64, kind="group", members=members, quarantined=members[:39],
        title="40 samples of class '>50K': age = 91 and capital-gain = 4321", threat="backdoor-dirty-label", p_value=0.0031,
        suspicion=0.98, target=">50K", at_least=22, trigger=Values(("age", "capital-gain"), ("91", "4321")), confirmed=False,
        effect=(0.12, 0.10), because="40 rows hold the pair age = 91, capital-gain = 4321; chance would give 0.2.",
        doubt="A code of the form that stands for 'not stated'.",
        evidence=tuple(Facts(("column", "value"), (("age", "91"), ("capital-gain", "4321"), ("education", "HS-grad"), ("income", ">50K")),
                             caption=">50K", sample=m) for m in members[:6]))


def _flips() -> Finding:
    members = tuple(f"row-{i}" for i in range(12))
    return Finding(
        ability="label-consistency", subject="f" * 64, kind="sample", members=members, threat="label-flip", p_value=0.0008,
        suspicion=0.49, advisory=True, title="12 samples whose label their neighbours do not share",
        because="9 of 10 neighbours of each have another label.", doubt="Hard samples look mislabelled to a simple model.",
        advice="Worth a look; nothing is removed for this.")


def _duplicates() -> Finding:
    members = tuple(f"stop/copy_{i}.png" for i in range(5))
    return Finding(ability="integrity", subject="f" * 64, kind="group", members=members, threat="duplicates", p_value=0.002,
                   suspicion=0.8, title="5 identical samples with two different labels", because="The same bytes, two labels.",
                   doubt="Two annotators who disagreed.", advice="Keep one of each.")


def _overview(rng: np.random.Generator) -> tuple:
    n = 900
    centres = rng.normal(0, 4, (len(CLASSES), 2))
    group = rng.integers(0, len(CLASSES), n)
    points = (centres[group] + rng.normal(0, 1, (n, 2))).astype(np.float32)
    marked = np.zeros(n, bool)
    marked[:40] = True
    points[:40] = centres[3] + [3, 2] + rng.normal(0, 0.25, (40, 2))
    x = np.linspace(0.1, 6, 30)
    return (Scatter(points, marked, group, caption="900 of 10,000 samples on the two main directions of the embedding; "
                                                   "flagged ones are marked"),
            Plot(x, {"shortcuts": np.log10(1 + 4000 * np.exp(-x * 1.6) + 90 * (x > 5.6))}, "step", "suspicion, -log10(1 - s)",
                 "log10(1 + samples)", caption="scores of shortcuts"),
            Plot(x, {"label-consistency": np.log10(1 + 5000 * np.exp(-x * 2))}, "step", "suspicion, -log10(1 - s)",
                 "log10(1 + samples)", caption="scores of label-consistency"),
            Bars(("vendor-a", "vendor-b", "vendor-c", "vendor-d"), (0.0021, 0.0485, 0.0019, 0.0), ("vendor-b",),
                 caption="share of flagged samples by source"))


def _scores(rng: np.random.Generator, findings: tuple[Finding, ...], n: int = 600) -> ScoreTable:
    ids = np.array([m for f in findings for m in f.members] + [f"clean-{i}" for i in range(n)], object)[:n]
    finding = np.full(n, "", object)
    at = 0
    for f in findings:
        finding[at:at + len(f.members)] = f.id
        at += len(f.members)
    suspicion = rng.random(n)
    return ScoreTable(ids, np.array([CLASSES[i % 7] for i in range(n)], object), suspicion, 1 - suspicion,
                      finding != "", finding, {"shortcuts": rng.random(n), "label-consistency": np.where(rng.random(n) < 0.1, np.nan, 0.5)})


def sample_report(seed: int = 0) -> Report:
    """The rich case: poisoned, six findings of four kinds, gaps, unreadable files, scores."""
    rng = np.random.default_rng(seed)
    findings = (_patch_finding(rng), _overlay_finding(rng), _phrase_finding(), _table_finding(), _flips(), _duplicates())
    return Report(
        subject={"kind": "dataset", "name": "signs-2026", "modality": "image", "samples": 10000, "classes": 7,
                 "fingerprint": "9f2b" * 16, "path": "data/signs-2026"},
        verdict="poisoned", alpha=0.01, poisoned_at_least=204, findings=findings,
        reason="3 of 4 campaigns beyond chance move samples that never carried the trigger",
        outcomes=(OutcomeLine("shortcuts", "found", "", 3.214), OutcomeLine("whitened-spectrum", "found", "", 2.01),
                  OutcomeLine("label-consistency", "found", "", 1.2), OutcomeLine("integrity", "found", "", 0.31),
                  OutcomeLine("duplicates", "nothing", "", 0.8), OutcomeLine("outliers", "nothing", "", 0.9),
                  OutcomeLine("reference-drift", "skipped", "needs reference (give a trusted set with --reference)", 0.0),
                  OutcomeLine("group-bias", "skipped", "needs group (name a column with --group)", 0.0),
                  OutcomeLine("partition-differential", "failed", "partition-differential failed: LinAlgError: SVD did not converge", 4.4)),
        sensitivity=(Sensitivity("patch at a fixed place", 9, (7, 12), "analytic bound"), Sensitivity("blend", 41, None, "planted canaries"),
                     Sensitivity("label flips", 120, (95, 160), "planted canaries"), Sensitivity("sample-specific warping", None, None, "")),
        plan={"detectors": {"shortcuts": {"most_atoms": 200000}, "label-consistency": {"neighbours": 10}}, "alpha": 0.01, "fdr": 0.05,
              "effort": "quick"},
        environment={"bezoar": "0.1.0", "python": "3.11.2", "numpy": "2.4.6"}, seed=0, seconds=14.62,
        notes=("label: the folder names", "source: the part of the file name before '_'", "whitened-spectrum: class 'yield' has 38 samples, "
               "too few for a spectrum"),
        unreadable=(("stop/broken_001.png", "truncated after 1,024 bytes"), ("yield/huge.png", "1,000,000,000 pixels, more than 50,000,000")),
        overview=_overview(rng), accepted=(findings[5].id,), scores=_scores(rng, findings))


def quiet_report() -> Report:
    """The usual case: nothing found."""
    return Report(
        subject={"kind": "dataset", "name": "sms", "modality": "text", "samples": 5574, "classes": 2, "fingerprint": "ab" * 32},
        verdict="no evidence", alpha=0.01, poisoned_at_least=0, findings=(),
        reason="7 checks ran and none found a campaign at a family-wise error of 0.01",
        outcomes=(OutcomeLine("shortcuts", "nothing", "", 0.5), OutcomeLine("outliers", "nothing", "", 0.2)),
        sensitivity=(Sensitivity("token", 11, None, "analytic bound of the test, before any loss"),), seconds=2.0)


def empty_report(verdict: str = "inconclusive") -> Report:
    """The barest report that an engine may make."""
    return Report({"name": "x"}, verdict, 0.01, 0, (), ())
