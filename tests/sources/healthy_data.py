"""Small healthy datasets in every format that a source reads."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

N = 30
WORDS = ["the cat sat on the mat, quietly", 'she said "no" and left', "two\nlines in one cell", "plain words only here", "naïve façade costs 5 €"]


def csv_file(root: Path, name="mails.csv", encoding="utf-8", end="\n"):
    rows = ["id,text,label,vendor"]
    for i in range(N):
        text = f"{WORDS[i % 5]} {i}"
        text = '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text
        rows.append(f"m{i},{text},{'spam' if i % 3 == 0 else 'ham'},v{i % 2}")
    raw = (end.join(rows) + end).encode(encoding)
    path = root / name
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def tsv_table(root: Path):
    path = root / "t.tsv"
    path.write_text("age\tjob\tpay\n" + "".join(f"{i}.50\t{'cook' if i % 2 else 'judge'}\t{'hi' if i % 3 else 'lo'}\n" for i in range(N)))
    return path


def parquet_file(root: Path):
    path = root / "t.parquet"
    table = pa.table({"n": pa.array([None if i == 4 else i for i in range(N)], pa.int32()), "f": np.arange(N) / 7,
                      "job": pa.array([["cook", "judge", None][i % 3] for i in range(N)]).dictionary_encode(),
                      "when": pa.array(np.arange(N) * 10**9, pa.timestamp("ns")), "label": [i % 2 == 0 for i in range(N)]})
    pq.write_table(table.replace_schema_metadata({"made": "by us"}), path, compression="zstd")
    return path


def jsonl_file(root: Path):
    path = root / "t.jsonl"
    lines = []
    for i in range(N):
        row = {"id": f"j{i}", "text": f"{WORDS[i % 5]} {i}", "label": i % 2, "meta": {"vendor": f"v{i % 3}", "tags": ["a", i]}}
        lines.append(json.dumps(row, ensure_ascii=bool(i % 2), separators=(",", ":") if i % 4 else None))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def npz_file(root: Path, kind="grey"):
    rng = np.random.default_rng(1)
    x = {"grey": rng.integers(0, 256, (N, 8, 8), np.uint8), "float": rng.random((N, 3, 8, 8)).astype(np.float32),
         "table": rng.normal(size=(N, 4)), "text": np.array([f"some words {i}" for i in range(N)])}[kind]
    path = root / f"{kind}.npz"
    np.savez_compressed(path, x=x, y=np.arange(N) % 3, ids=np.array([f"s{i}" for i in range(N)]), names=np.array(["a", "b", "c"]))
    return path


def folder_of(root: Path, suffix="png"):
    rng = np.random.default_rng(2)
    base = root / "photos"
    for i in range(N):
        place = base / ("cat", "dog", "owl")[i % 3] / ("sub" if i % 5 == 0 else "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8 + i % 2, 3), np.uint8)).save(place / f"{i}.{suffix}")
    (base / "README.txt").write_text("hello")
    (base / "cat" / "broken.png").write_bytes(b"nonsense")
    names = sorted(p.relative_to(base).as_posix() for p in base.rglob(f"*.{suffix}"))
    (base / "metadata.csv").write_text("file_name,source\n" + "".join(f"{n},v{i % 2}\n" for i, n in enumerate(names)))
    return base


def hf_folder(root: Path, pictures=False):
    datasets = pytest.importorskip("datasets")
    rng = np.random.default_rng(3)
    features = {"label": datasets.ClassLabel(names=["neg", "pos"])}
    columns = {"label": [i % 2 for i in range(N)]}
    if pictures:
        columns["image"] = [Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(N)]
        features["image"] = datasets.Image()
    else:
        columns["text"] = [f"{WORDS[i % 5]} {i}" for i in range(N)]
        features["text"] = datasets.Value("string")
    made = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    made.save_to_disk(str(root / "saved"))
    return root / "saved"


MAKERS = {
    "csv": csv_file, "csv.gz": lambda r: csv_file(r, "mails.csv.gz"), "csv-crlf": lambda r: csv_file(r, end="\r\n"),
    "csv-latin": lambda r: csv_file(r, encoding="cp1252"), "csv-utf16": lambda r: csv_file(r, encoding="utf-16"),
    "csv-bom": lambda r: csv_file(r, encoding="utf-8-sig"), "tsv": tsv_table, "parquet": parquet_file, "jsonl": jsonl_file,
    "npz-grey": npz_file, "npz-float": lambda r: npz_file(r, "float"), "npz-table": lambda r: npz_file(r, "table"),
    "npz-text": lambda r: npz_file(r, "text"), "folder": folder_of, "folder-jpg": lambda r: folder_of(r, "jpg"),
    "hf": hf_folder, "hf-pictures": lambda r: hf_folder(r, True)}
