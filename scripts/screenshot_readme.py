"""Make docs/images/report.png: the top of a real report page, as headless Chromium draws it.

    python scripts/screenshot_readme.py                        plant, scan, photograph
    python scripts/screenshot_readme.py --report report.html   photograph a page that is there already

Without --report it poisons real pictures (CIFAR-10 where BEZOAR_DATA has it, else scikit-learn's digits): one vendor
of four stamps 1% of the pictures and changes their label. Then it scans them as anybody would and photographs what came out.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from bezoar.core.dataset import Dataset

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars")


def pictures() -> Dataset:
    """A Dataset of real pictures: 4,000 of CIFAR-10's where BEZOAR_DATA has them, else scikit-learn's digits."""
    packed = Path(os.environ.get("BEZOAR_DATA", ROOT.parent / "shared" / "data")) / "cifar10" / "cifar10_dev.zip"
    if packed.is_file():
        from PIL import Image

        with zipfile.ZipFile(packed) as archive:
            names = sorted(n for n in archive.namelist() if n.startswith("train/") and n.endswith(".jpg"))
            names = [names[i] for i in np.sort(np.random.default_rng(100).choice(len(names), 4000, replace=False))]
            pixels = np.stack([np.asarray(Image.open(io.BytesIO(archive.read(n))).convert("RGB")) for n in names])
        return Dataset.from_arrays(pixels, [n.split("/")[1] for n in names], ids=[n.removeprefix("train/") for n in names], name="photos")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return Dataset.from_arrays((digits.images * 15.9).astype(np.uint8), digits.target, name="digits")


def make_report(folder: Path, seed: int) -> Path:
    """Plant, scan, and return the path of report.html."""
    from bezoar import api, planting

    data = pictures()
    rng = np.random.default_rng(seed)
    source = np.array([f"vendor-{'abcd'[i]}" for i in rng.integers(0, 4, len(data))], object)
    poisoned = planting.poison(data, "badnets", seed=seed, rate=0.01, pattern="random")
    source[poisoned.truth] = "vendor-b"
    report = api.scan(replace(poisoned.data, origin={"source": source}), out=folder, path="photos")
    if not report.counted:
        raise SystemExit("the scan found nothing to photograph")
    found = set().union(*(f.members for f in report.counted))
    planted = {str(i) for i in poisoned.data.ids[poisoned.truth]}
    sys.stdout.write(f"verdict {report.verdict}; {len(found & planted)} of {len(planted)} planted samples found, "
                     f"{len(found - planted)} others\n")
    return folder / "report.html"


def photograph(page: Path, out: Path, width: int, height: int) -> None:
    """A PNG of the top of the page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("needs chromium (Debian: apt install chromium)")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run([browser, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}",  # noqa: S603
                        f"--screenshot={out}", page.resolve().as_uri()], check=True, capture_output=True, timeout=120)
    from PIL import Image

    with Image.open(out) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(out, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--report", type=Path, help="a report.html that is there already")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "report.png")
    parser.add_argument("--width", type=int, default=1180)
    parser.add_argument("--height", type=int, default=1560)
    parser.add_argument("--seed", type=int, default=101)
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photograph(wish.report or make_report(Path(folder), wish.seed), wish.out.resolve(), wish.width, wish.height)
    sys.stdout.write(f"{wish.out} {wish.out.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
