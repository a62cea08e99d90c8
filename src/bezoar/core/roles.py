"""Which column is the label, the text, the id, the origin: inferred from names and contents, and said aloud.

Rules, in order; whatever the user names wins, and "-" means "there is none":

* id        a column of that name whose values hardly ever repeat.
* label     a column named like a label; else, in a table, the last column if it holds 2 to 50 values; else, beside
            texts, the only further column with 2 to 50 values.
* modality  text, if there is free text (many words per cell, hardly ever repeated); otherwise tabular.
* text      the column named like a text; else all free-text columns, joined: what is not read cannot be searched.
* origin    beside texts every column named like a source, contributor, time, url or licence. In a table a column may
            be a feature, so only names that speak of the record itself are taken ("vendor", "annotator_id",
            "collected_at"), and a "time", "date", "user" or "site" stays a feature unless it is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bezoar.core.ability import Reading
from bezoar.core.columns import Plain, Roles
from bezoar.core.errors import UsageError

LABELS = ("label", "labels", "y", "target", "class", "category", "class_label", "label_text", "ground_truth", "gold_label",
          "sentiment", "outcome", "is_spam", "toxic", "verdict", "diagnosis", "attack", "attack_type")
TEXTS = ("text", "sentence", "content", "message", "tweet", "review", "comment", "body", "document", "article", "sms")
IDS = ("id", "uid", "uuid", "guid", "sample_id", "row_id", "example_id", "record_id", "_id", "idx", "index", "unnamed: 0", "", "sno")
SURE = {"source": ("source", "vendor", "supplier", "data_source", "source_name", "provider"),
        "contributor": ("contributor", "contributor_id", "annotator", "annotator_id", "worker_id", "submitted_by", "uploader",
                        "uploaded_by", "labeler", "labeller", "rater"),
        "time": ("collected_at", "submitted_at", "uploaded_at", "annotated_at", "ingested_at"),
        "url": ("url", "source_url"), "licence": ("licence", "license")}
LIKELY = {"source": ("origin", "site", "domain", "publisher", "dataset"),
          "contributor": ("user", "user_id", "userid", "username", "author", "author_id", "worker"),
          "time": ("time", "timestamp", "date", "datetime", "created_at", "updated_at", "published_at"),
          "url": ("uri", "link"), "licence": ()}
NONE = "-"
FEW = 50


def words_per_cell(column: Plain) -> tuple[float, float]:
    """Mean words per distinct cell (scripts without spaces: two characters a word) and distinct values per row."""
    if column.kind != "text" or not len(column.texts):
        return 0.0, 0.0
    some = column.texts[np.linspace(0, len(column.texts) - 1, min(len(column.texts), 1000)).astype(np.int64)]
    words = [max(t.count(" ") + 1, sum(c > "\u2e7f" for c in t[:2000]) / 2) for t in some]
    return float(np.mean(words)), len(column.texts) / max(int((column.values >= 0).sum()), 1)


def _named(columns: Mapping[str, Plain], wanted: str, option: str) -> str:
    if wanted in columns:
        return wanted
    raise UsageError(f"no column {wanted!r} for {option}", advice=f"the columns are: {listing(columns)}")


def listing(names: Iterable[str], most: int = 30) -> str:
    """Names for an error message, at most `most` of them."""
    names = [n[:60] for n in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "") or "none"


def _by_name(columns: Mapping[str, Plain], names: Sequence[str], used: set[str]) -> str:
    lower: dict[str, str] = {}
    for c in columns:
        lower.setdefault(c.strip().lower(), c)
    return next((lower[n] for n in names if n in lower and lower[n] not in used), "")


def infer(columns: Mapping[str, Plain], reading: Reading, *, modality: str = "") -> Roles:
    """The roles of `columns`. `modality` is given where the source already knows it (pictures); then no text is sought.

    Raises UsageError for a named column that does not exist (saying which do).
    """
    notes: list[str] = []
    used: set[str] = set()
    n = len(next(iter(columns.values()))) if columns else 0
    asked = reading.modality or modality
    ident = _find_id(columns, reading, used, notes, n)
    label = _find_label_by_name(columns, reading, used, notes, n)
    origin: dict[str, str] = {}
    for key in ("source", "contributor", "time"):
        wanted = getattr(reading, key)
        if wanted and wanted != NONE:
            origin[key] = _named(columns, wanted, f"--{key}")
            used.add(wanted)
    text = () if modality else _find_text(columns, reading, asked, used, label, notes)
    kind = asked or ("text" if text else "tabular")
    if kind == "text" and not text:
        raise UsageError("no text column found", advice=f"name it with --text; the columns are: {listing(columns)}")
    text = text if kind == "text" else ()
    used |= set(text)
    for key, names in SURE.items():
        if key in origin or getattr(reading, key, "") == NONE:
            continue
        found = _by_name(columns, names if kind == "tabular" else names + LIKELY[key], used)
        if found and (kind != "tabular" or _groups(columns[found], key)):
            origin[key] = found
            used.add(found)
            notes.append(f"{key} column: {found!r}, because of its name")
    if not label and reading.label != NONE:
        label = _label_by_content(columns, kind, used, notes, n)
        used |= {label} if label else set()
    for extra in reading.keep_columns:
        origin.setdefault(extra, _named(columns, extra, "--group"))
    features = tuple(c for c in columns if c not in used) if kind == "tabular" else ()
    if not label:
        notes.append("no label column" + (" (as told)" if reading.label == NONE else " found; name it with --label"))
    if kind == "text":
        rest = [c for c in columns if c not in used]
        notes.append(f"text column: {', '.join(map(repr, text))}" + (" joined" if len(text) > 1 else ""))
        if rest:
            notes.append(f"columns not read: {listing(rest, 10)}")
    if not reading.modality and not modality:
        notes.append(f"modality: {kind}")
    return Roles(kind, label, text, ident, origin, features, tuple(notes))


def _groups(column: Plain, key: str) -> bool:
    """Whether a column of a table groups rows (so it may be an origin) rather than measures them."""
    return key in ("time", "url") or column.kind == "text" or column.integral


def _find_id(columns: Mapping[str, Plain], reading: Reading, used: set[str], notes: list[str], n: int) -> str:
    if reading.id:
        if reading.id == NONE:
            return ""
        used.add(reading.id)
        return _named(columns, reading.id, "--id")
    found = _by_name(columns, IDS, {reading.label, reading.text})
    if not found or columns[found].kind == "time" or (columns[found].kind == "number" and not columns[found].integral):
        return ""
    if columns[found].distinct() < 0.5 * n:
        return ""
    used.add(found)
    notes.append(f"id column: {found!r}, because of its name")
    return found


def _find_label_by_name(columns: Mapping[str, Plain], reading: Reading, used: set[str], notes: list[str], n: int) -> str:
    if reading.label:
        if reading.label == NONE:
            return ""
        label = _named(columns, reading.label, "--label")
        used.add(label)
        return label
    label = _by_name(columns, LABELS, used | {reading.text, reading.source, reading.contributor, reading.time})
    if not label:
        return ""
    column = columns[label]
    values = column.distinct(reading.limits.max_classes)
    if column.kind == "number" and not column.integral and values > FEW:
        notes.append(f"column {label!r} holds measurements, not classes; it is not used as the label")
        return ""
    if values > reading.limits.max_classes or (values > FEW and words_per_cell(column)[0] > 6):
        return ""
    used.add(label)
    notes.append(f"label column: {label!r} ({values:,} value{'s' if values != 1 else ''}), because of its name")
    return label


def _label_by_content(columns: Mapping[str, Plain], kind: str, used: set[str], notes: list[str], n: int) -> str:
    def few(name: str) -> bool:
        column = columns[name]
        if column.kind == "time" or (column.kind == "number" and not column.integral):
            return False
        return 2 <= column.distinct(FEW) <= min(FEW, max(2, n // 2))

    free = [c for c in columns if c not in used]
    if kind == "tabular" and len(free) > 1 and free[-1] == list(columns)[-1] and few(free[-1]):
        values = columns[free[-1]].distinct()
        notes.append(f"label column: {free[-1]!r} ({values} values), because it is the last column and holds few values")
        return free[-1]
    if kind == "text":
        candidates = [c for c in free if few(c)]
        if len(candidates) == 1:
            values = columns[candidates[0]].distinct()
            notes.append(f"label column: {candidates[0]!r} ({values} values), because no other column beside the text holds few values")
            return candidates[0]
    return ""


def _find_text(columns: Mapping[str, Plain], reading: Reading, asked: str, used: set[str], label: str,
               notes: list[str]) -> tuple[str, ...]:
    if reading.text and reading.text != NONE:
        if reading.text in columns:
            return (reading.text,)
        return tuple(_named(columns, part.strip(), "--text") for part in reading.text.split(","))
    if asked == "tabular" or reading.text == NONE:
        return ()
    free = [c for c in columns if c not in used and columns[c].kind == "text"]
    stats = {c: words_per_cell(columns[c]) for c in free}
    others = [c for c in columns if c not in used]
    named = _by_name({c: columns[c] for c in free}, TEXTS, set())
    if named and (stats[named][0] >= 2 or len(others) == 1 or asked == "text"):
        return (named,)
    varied = {c: w for c, (w, share) in stats.items() if share >= 0.3}
    few_others = len(others) - len(varied) <= 2
    if any(w >= 6 for w in varied.values()) or (few_others and any(w >= 3 for w in varied.values())):
        return tuple(c for c, w in varied.items() if w >= 3)
    if asked == "text" and free:
        return (max(free, key=lambda c: stats[c][0]),)
    return ()
