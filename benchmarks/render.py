"""Results (benchmarks/results/*.json) -> docs/benchmarks.md. A goal that is not reached is shown as such.

    python benchmarks/render.py
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import adaptive_page
import attacks
import cells
import cost
import encoders
import guarding
import learned_page
import learned_texts_page
import mending
import other_models
import probe_networks
import red_team
import spike_in
import targeted_page
import zoo_figures
from false_alarms import MOST
from ledger import HERE, RESULTS
from measure import clopper_pearson_upper, interval

DOCS = HERE.parent / "docs" / "benchmarks.md"
ALARM_GOAL = 0.02
ADAPTIVE = "worst adaptive recall"
Row = dict[str, Any]


def load(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """Rows and machine of a results file; nothing where there is none."""
    if not path.exists():
        return [], {}
    data = json.loads(path.read_text())
    return data["runs"], data["machine"]


def number(value: float | None, digits: int = 2) -> str:
    """A figure, or a dash."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def spread(rows: list[Row], key: str, digits: int = 2) -> str:
    """Mean with its 95% interval, kept inside [0, 1]."""
    mean, low, high = interval([float("nan") if r.get(key) is None else float(r[key]) for r in rows])
    if math.isnan(mean):
        return "-"
    if math.isnan(low):
        return number(mean, digits)
    return f"{mean:.{digits}f} ({max(low, 0):.{digits}f} to {min(high, 1):.{digits}f})"


def mean(rows: list[Row], key: str) -> float:
    return interval([float("nan") if r.get(key) is None else float(r[key]) for r in rows])[0]


def table(header: list[str], lines: list[list[str]]) -> list[str]:
    """Markdown."""
    return ["| " + " | ".join(header) + " |", "|" + "---|" * len(header), *("| " + " | ".join(x) + " |" for x in lines), ""]


def met(cell: cells.Cell, rows: list[Row], rivals: list[Row] | None = None) -> str:
    """yes | no (what is missing) | '-' without a goal or a run. Recall counts only at no more than 1% false positives.

    F1 has to be above cleanlab's too, where that was run.
    """
    rival = mean(rivals, cell.metric) if rivals and cell.metric == "f1" else float("nan")
    if not rows or (cell.goal is None and math.isnan(rival)):
        return "-"
    short = []
    value = mean(rows, cell.metric)
    if cell.goal is not None and not value >= cell.goal - 5e-4:
        short.append(cell.metric.replace("_", " "))
    if not math.isnan(rival) and not value > rival:
        short.append("below cleanlab")
    if cell.metric == "recall" and mean(rows, "fpr") > 0.01:
        short.append("false positives")
    for key, goal in cell.also:
        if key != "lift" and not mean(rows, key) >= goal:
            short.append(key)
    return "yes" if not short else "**no** (" + ", ".join(short) + ")"


def summary(known: list[cells.Cell], by: dict[tuple[str, str], list[Row]], adaptive: list[Row]) -> list[str]:
    """One line per goal: the mean over its datasets, patterns and seeds, and the worst of its lines."""
    groups: dict[str, list[cells.Cell]] = defaultdict(list)
    for c in known:
        if c.goal is not None and c.metric in ("recall", "source_first"):
            groups[c.group].append(c)
    lines = []
    for group, members in groups.items():
        metric, goal = members[0].metric, members[0].goal
        rows = [r for c in members for r in by[(c.name, "bezoar")]]
        worst = min(members, key=lambda c: mean(by[(c.name, "bezoar")], metric))
        verdict = met(cells.replace(members[0], also=()), rows)
        lines.append([group, ", ".join(dict.fromkeys(c.dataset for c in members)), number(goal), number(mean(rows, metric), 3),
                      f"{worst.name} {number(mean(by[(worst.name, 'bezoar')], metric))}", number(mean(rows, "fpr"), 4), verdict,
                      number(adaptive_page.worst(adaptive, members[0].attack))])
    out = ["### Goals", "", *table(["attack", "data", "goal", "mean recall", "worst line", "false positives", "reached", ADAPTIVE], lines)]
    runs = [(c, r) for c in known for r in by[(c.name, "bezoar")] if dict(c.also).get("lift") and r.get("lift") is not None]
    for what, chosen in (("patches, IoU at least 0.5", [r for c, r in runs if c.attack == "badnets"]),
                         ("words and phrases, contained", [r for c, r in runs if c.attack.startswith("text")])):
        if chosen:
            good = sum(r["lift"] >= 0.5 for r in chosen)
            found = [r for r in chosen if r["recall"] >= 0.5]
            out.append(f"- Recovered triggers ({what}): {good} of {len(chosen)} runs; {sum(r['lift'] >= 0.5 for r in found)} of the "
                       f"{len(found)} runs that found half of the planted samples.")
    return [*out, ""]


def detection(rows: list[Row], adaptive: list[Row]) -> list[str]:
    """Goals against measured figures, then the peers."""
    if not rows:
        return ["## Detection", "", "Not run yet: `python benchmarks/detection.py`.", ""]
    by: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for r in rows:
        by[(r["cell"], r["method"])].append(r)
    known = [c for c in cells.all_cells() if (c.name, "bezoar") in by]
    out = ["## Detection", "",
           "Mean over seeds with a 95% Student interval. *Recall* and *false positives* are those of the quarantine list that a scan",
           "hands out by itself; *TPR* is the share of the planted that rank above all but 1% of the clean samples. A goal counts as",
           "reached when the mean does, at no more than 1% false positives. No threshold knows the attack or its rate.",
           f"*{ADAPTIVE.capitalize()}* is the least recall against somebody who knows bezoar (section Adaptive attackers; small sets).", ""]
    out += summary(known, by, adaptive)
    sections = [("Pictures", [c for c in known if c.dataset in ("cifar10", "gtsrb_signs", "digits") and c.metric == "recall"]),
                ("Texts and tables", [c for c in known if c.dataset not in ("cifar10", "gtsrb_signs", "digits") and c.metric == "recall"])]
    reached = total = 0
    for title, chosen in sections:
        lines = []
        for c in chosen:
            mine = by[(c.name, "bezoar")]
            verdict = met(c, mine)
            reached, total = reached + (verdict == "yes"), total + (verdict != "-")
            lines.append([c.dataset, c.name.split("/", 1)[1], str(len(mine)), number(c.goal), spread(mine, "recall"),
                          number(mean(mine, "fpr"), 4), number(mean(mine, "tpr_at_1fpr")), number(mean(mine, "lift")),
                          number(mean(mine, "seconds"), 1), verdict, number(adaptive_page.worst(adaptive, c.attack))])
        if lines:
            out += [f"### {title}", "", *table(["data", "attack", "seeds", "goal", "recall", "false positives", "TPR", "lift",
                                                  "seconds", "reached", ADAPTIVE], lines)]
    out += ["*Lift*: patches, intersection over union with the planted place (goal 0.5; whole-picture patterns have none); phrases",
            "and words, whether the recovered phrase contains the planted one; tuples, the share of planted cells recovered.", ""]
    lines = []
    for c in known:
        if c.metric != "recall":
            mine = by[(c.name, "bezoar")]
            rival = by.get((c.name, "cleanlab on bezoar's probabilities"), []) or by.get((c.name, "cleanlab"), [])
            verdict = met(c, mine, rival)
            reached, total = reached + (verdict == "yes"), total + (verdict != "-")
            lines.append([c.dataset, c.name.split("/", 1)[1], c.metric.replace("_", " "), str(len(mine)), number(c.goal),
                          spread(mine, c.metric), spread(rival, c.metric) if rival and c.metric == "f1" else "-",
                          spread(mine, "precision"), spread(mine, "recall"), verdict, number(adaptive_page.worst(adaptive, c.attack))])
    if lines:
        out += ["### Label flips and bad sources", "",
                *table(["data", "attack", "figure", "runs", "goal", "bezoar", "cleanlab", "precision", "recall", "reached", ADAPTIVE],
                       lines)]
    out += [f"{reached} of {total} single lines reached their goal.", "", *verdicts(rows), "### Peers", "",
            "Each tool in the same run on the same data. ART's seconds include the training of the network that it needs; *ASR* is the",
            "attack's success on that network (below 0.8 the attack did not implant there, and what was found says little).",
            "ART's rate of expected poison is its default of 0.33, or, marked, the true one. cleanlab and the isolation forest work on",
            "bezoar's label-free embedding. ART gives lists and no ranking.", ""]
    lines = []
    for c in known:
        methods = sorted({m for cell, m in by if cell == c.name}, key=lambda m: (m != "bezoar", m))
        if len(methods) < 2:
            continue
        for m in methods:
            found = by[(c.name, m)]
            lines.append([c.name if m == methods[0] else "", m, str(len(found)), spread(found, "recall"), number(mean(found, "fpr"), 4),
                          number(mean(found, "precision")), number(mean(found, "f1")), number(mean(found, "tpr_at_1fpr")),
                          number(mean(found, "asr")), number(mean(found, "seconds"), 1)])
    out += table(["data and attack", "method", "seeds", "recall", "false positives", "precision", "F1", "TPR", "ASR", "seconds"], lines)
    broken = [r for r in rows if r.get("failed")]
    if broken:
        out += [f"{len(broken)} runs had a check that failed, for example: {str(broken[0]['failed'])[:200]!r}", ""]
    return out


def verdicts(rows: list[Row]) -> list[str]:
    """Whether the answer about the whole set was right, by the rate of poison."""
    out = ["### The verdict on the set", "", "Right is `suspicious` or `poisoned`. Clean sets: section False alarms.", ""]
    lines = []
    for rate, goal in (("1%", 0.95), ("0.3%", 0.85), ("0.1%", None)):
        runs = [r for r in rows if r["method"] == "bezoar" and r["cell"].endswith(f" {rate}")]
        for title, some in (("all", runs), ("2,000 samples and more", [r for r in runs if r["rows"] >= 2000])):
            right = sum(r["verdict"] in ("suspicious", "poisoned") for r in some)
            if some and (title == "all" or len(some) < len(runs)):
                share = right / len(some)
                lines.append([rate, title, str(len(some)), str(right), number(share), str(sum(r["verdict"] == "poisoned" for r in some)),
                              number(goal), "-" if goal is None else "yes" if share >= goal else "**no**"])
    return [*out, *table(["poison", "sets", "runs", "right", "share", "of these `poisoned`", "goal", "reached"], lines)] if lines else []


def false_alarms(rows: list[Row], effort: str = "quick") -> list[str]:
    """Alarms per set, with the upper bound."""
    head = "## False alarms" if effort == "quick" else f"## False alarms at {effort} effort"
    if not rows:
        return [head, "", f"Not run yet: `python benchmarks/false_alarms.py --effort {effort}`.", ""]
    by: dict[str, list[Row]] = defaultdict(list)
    for r in rows:
        by[r["set"]].append(r)
    k, n = sum(bool(r["alarm"]) for r in rows), len(rows)
    upper = clopper_pearson_upper(k, n)
    lines = [[name, str(len(found)), str(sum(bool(r["alarm"]) for r in found)),
              number(clopper_pearson_upper(sum(bool(r["alarm"]) for r in found), len(found)), 3),
              number(mean(found, "flagged"), 5), number(mean(found, "seconds"), 1)] for name, found in sorted(by.items())]
    verdict = "reached" if k <= ALARM_GOAL * n and n >= 150 else "**not reached**"
    out = [head, "",
           f"{k} alarm{'' if k == 1 else 's'} in {n} clean sets ({k / n:.1%}; one-sided 95% Clopper-Pearson bound {upper:.1%}). "
           f"Goal: at most {ALARM_GOAL:.0%} of at least 150: {verdict}.", "",
           *(FALSE_ALARMS if effort == "quick" else
             ["The same kinds of subsets, cut to " + ", ".join(f"{n:,} rows ({kind})" for kind, n in MOST[effort].items()) + ".", ""]),
           *table(["set", "scans", "alarms", "bound", "flagged share", "seconds"], lines)]
    for r in rows:
        if r["alarm"] or r["verdict"] in ("crashed", "inconclusive"):
            out.append(f"- {r['set']}, {r['kind']} {r['number']}: {r['verdict']}. {r.get('why', '')[:300]}")
    return [*out, ""]


FALSE_ALARMS = [
    "Clean sets are halves, bootstraps (which repeat rows), imbalanced subsets and the whole of every real set, with their own",
    "duplicates, label noise and imbalance left in. An alarm is a verdict of `suspicious` or `poisoned`.", ""]


def costs(rows: list[Row]) -> list[str]:
    """Seconds and memory, growth, and the ratio to the toolbox."""
    if not rows:
        return ["## Cost", "", "Not run yet: `python benchmarks/cost.py`.", ""]
    by = {r["what"]: r for r in rows}
    lines = []
    for what in cost.plan():
        if what not in by:
            continue
        r = by[what]
        seconds, megabytes = cost.GOALS.get(what, (None, None))
        verdict = "-"
        if seconds is not None:
            good = r["seconds"] <= seconds and (megabytes is None or r["peak_rss_mb"] <= megabytes) and r.get("exit") in (0, 1, 3)
            verdict = "yes" if good else "**no**"
        kind, count = what.split("-")
        kind = f"images, {kind} effort" if kind in cost.TRAINED else kind
        goal = "-" if seconds is None else f"{seconds:.0f} s" + (f", {megabytes:.0f} MB" if megabytes else "")
        lines.append([kind, f"{int(count):,}", goal, number(r["seconds"], 1), number(r.get("cpu_seconds"), 1),
                      number(r.get("peak_rss_mb"), 0), verdict, r.get("slowest", "")])
    out = ["## Cost", "",
           "The whole command `bezoar scan DATA --effort quick --out DIR` (another effort where one is named), with decoding and all",
           "reports, in a process of its own.", "",
           *table(["data", "samples", "goal", "seconds", "core seconds", "MB", "reached", "slowest checks"], lines)]
    sizes = [(r["count"], r["seconds"]) for r in rows if r["what"].startswith("images-")]
    if len(sizes) >= 3:
        sizes.sort()
        unit = [(n, s / (n * math.log(n))) for n, s in sizes]
        base = min(unit, key=lambda p: abs(p[0] - 10_000))[1]
        shown = ", ".join(f"{n:,}: {u / base:.2f}" for n, u in unit)
        grows = unit[-1][1] <= 1.1 * base
        out += [f"Seconds per n log n, as a multiple of the value at 10,000 pictures: {shown}. Growth no faster than n log n: "
                f"{'yes' if grows else '**no**'}.", ""]
    pairs = [w for w in by if w.startswith("toolbox-") and w.endswith("-art") and w.replace("-art", "-bezoar") in by]
    for w in pairs:
        theirs, mine = by[w], by[w.replace("-art", "-bezoar")]
        ratio = theirs["seconds"] / max(mine["seconds"], 1e-9)
        good = ratio >= 10 and mine["recall"] >= theirs["recall"]
        out += [f"Against ART's activation clustering on {theirs['count']:,} pictures of which 1% carry a patch, same process, both "
                f"cores: bezoar {mine['seconds']:.1f} s, recall {mine['recall']:.2f} at {mine['fpr']:.4f} false positives; ART "
                f"{theirs['seconds']:.1f} s (training {theirs['train_seconds']:.1f} s), recall {theirs['recall']:.2f} at "
                f"{theirs['fpr']:.4f}. Ratio {ratio:.1f}, goal 10 with no less recall: {'yes' if good else '**no**'}.", ""]
    return out


def _figure(value: float) -> str:
    """Four digits that count, and no powers of ten."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def planted(rows: list[Row]) -> list[str]:
    """What every attack of ours does to a model, beside its clean twin."""
    if not rows:
        return ["## Attacks", "", "Not run yet: `python benchmarks/attacks.py`.", ""]
    return ["## Attacks", "",
            "Success of every attack on a held-out part, beside a clean twin trained on the same rows. *Transfer*: an encoder trained on",
            "most of the data, a linear head trained with 50 other samples per class, some poisoned; ten aimed-at pictures. Signs",
            "are trained for 30 passes, CIFAR-10 for 20, words and phrases for 16: passes, sizes and amplitudes that differ from the",
            "defaults were chosen on development seeds (100 to 102), and the defaults' own figures stand beside them where they were run.",
            "",
            attacks.table(rows), ""]


def provenance(path: Path) -> list[str]:
    """Signing, proofs, the log, links: each part at the largest size that was run."""
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    if not rows:
        return []
    full = {r["part"] for r in rows if r["size"] == "full"}
    kept = [r for r in rows if r["size"] == "full" or r["part"] not in full]
    lines = [[r["part"], r["what"], f"{_figure(r['value'])} {r['unit']}", "-" if r["bar"] is None else f"{r['bar']:g}",
              {True: "yes", False: "**no**", None: "-"}[r["met"]], r["size"]] for r in kept]
    return ["## Provenance", "",
            "`python benchmarks/provenance.py --size full`. Sizes: *full* is 10 GB in 40 files, 100,000 small files, 1,000,000 records and",
            "entries, a fault at every file call and 500 kill -9; *small* is a sixteenth to a tenth of that.", "",
            *table(["part", "figure", "value", "bar", "reached", "size"], lines)]


def repaired(results: Path) -> list[str]:
    """Model repairs and the input filter."""
    made, watched = (load(results / f"{name}.json")[0] for name in ("mending", "guarding"))
    out = []
    if made:
        out += ["## Model repair", "",
                "`python benchmarks/mending.py`. Means over models and seeds with a 95% Student interval; models whose attack did not",
                "implant (success under 80%) are left out. Every repair has 5% of the training rows, clean, and what else stands under",
                "*knows*: the planted trigger itself, which an audit may recover less well, or the true list of poisoned rows.",
                "*Re-activated*: after careful tuning on the clean rows and ten poisoned ones; *never backdoored*: the same done to a",
                "clean twin. Goals: success at most 3%, 1.5 points of accuracy, re-activated at most 20%; training anew 1.5%, 1 point.", "",
                mending.table(made), ""]
    if watched:
        out += ["## Input filter", "",
                "`python benchmarks/guarding.py`. Trusted samples are half of the test samples; *cost* is CPU time against answering alone",
                f"(goal: at most {guarding.COST:g}x). Goal of the clean share: the rate in the head of the column.", "",
                guarding.table(watched), ""]
    return out


def page(results: Path = RESULTS) -> str:
    """The whole page."""
    found, alarms, timed, adaptive, success, boards, spikes = (load(results / f"{name}.json") for name in (
        "detection", "false_alarms", "cost", "adaptive", "attacks", "red_team", "spike_in"))
    machine = found[1] or alarms[1] or timed[1]
    about = ", ".join(f"{k} {v}" for k, v in machine.items()) if machine else "nothing measured yet"
    versions = sorted({r["version"] for part in (alarms, timed) for r in part[0]}
                      | {r["version"] for r in found[0] if r["method"] == "bezoar"})
    head = ["# Benchmarks", "", "Made by `python benchmarks/render.py` from `benchmarks/results/*.json`; do not edit.", "",
            f"Measured with {about}.", ""]
    if len(versions) > 1:
        head += [f"The figures come from {len(versions)} states of the code ({', '.join(versions)}).", ""]
    return "\n".join([*head, *detection(found[0], adaptive[0]), *learned_page.section(load(results / "learned.json")[0]),
                      *learned_texts_page.section(load(results / "learned_texts.json")[0]),
                      *targeted_page.section(load(results / "targeted.json")[0]), *adaptive_page.section(adaptive[0]),
                      *false_alarms(alarms[0]), *false_alarms(load(results / "false_alarms_standard.json")[0], "standard"),
                      *(false_alarms(deep, "deep") if (deep := load(results / "false_alarms_deep.json")[0]) else []),
                      *probe_networks.section(load(results / "probe_networks.json")[0]),
                      *spike_in.section(spikes[0]), *costs(timed[0]),
                      *red_team.section(boards[0]), *planted(success[0]), *zoo_figures.section(load(results / "zoo.json")[0]),
                      *encoders.section(load(results / "encoders.json")[0]),
                      *other_models.section(load(results / "other_models.json")[0]),
                      *provenance(results / "provenance.json"), *repaired(results), *REDUCED])


REDUCED = [
    "## What was reduced", "",
    "- Networks for ART are trained for 10 epochs (pictures), 12 (texts) or 8 (tables), on at most 12,000 samples; ART runs on",
    "  one cell of pictures, one of tables and two of texts, and once on 10,000 pictures in the cost part.",
    "- The sets of the false-alarm part are cut to 2,500 pictures, 3,000 texts or 6,000 table rows, beside one scan of every",
    "  whole set.",
    "- `seconds` of the detection part are of two runs beside each other, one core each; the cost part has the machine to itself.", ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default=str(RESULTS))
    parser.add_argument("--out", default=str(DOCS))
    given = parser.parse_args()
    Path(given.out).parent.mkdir(parents=True, exist_ok=True)
    Path(given.out).write_text(page(Path(given.results)))
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
