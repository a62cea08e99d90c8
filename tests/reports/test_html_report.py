"""report.html: self-contained, allowed by its own content policy, bounded, and says what a reader needs."""

import base64
import dataclasses
import hashlib
import io
import itertools
import re

import numpy as np
import pytest
from PIL import Image
from sample_report import empty_report, quiet_report, sample_report

from bezoar.core.evidence import Bars, Excerpt, Facts, Picture, Plot, Scatter
from bezoar.core.image_triggers import Patch
from bezoar.core.report import VERDICTS
from bezoar.reports.html_report import HtmlReport
from bezoar.reports.html_report.charts import COLOURS, plot, scatter, ticks
from bezoar.reports.html_report.figures import MOST_PICTURE, Album, bars, excerpt, figure, where

PAGES = {"rich": sample_report(), "quiet": quiet_report(), "empty": empty_report()}


def page(report):
    return HtmlReport().render(report).decode("utf-8")


def words(report):
    body = re.sub(r"<style>.*?</style>", "", page(report), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


@pytest.mark.parametrize("name", PAGES)
def test_nothing_from_outside_and_no_script(name):
    text = page(PAGES[name])
    assert "<script" not in text
    assert not re.search(r"\son[a-z]+=", text)
    assert not re.search(r"\sstyle=", text)
    assert "@import" not in text
    assert "url(" not in text
    for target in re.findall(r'(?:src|href|action|data|poster|srcset)="([^"]*)"', text):
        assert target.startswith(("#", "data:image/png;base64,", "data:image/jpeg;base64,", "data:,")), target[:60]
    assert not re.search(r"https?://", text)


@pytest.mark.parametrize("name", PAGES)
def test_policy_allows_exactly_our_style(name):
    text = page(PAGES[name])
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    parts = dict(p.strip().split(" ", 1) for p in policy.replace("&#39;", "'").split(";"))
    assert parts["default-src"] == "'none'"
    assert parts["img-src"] == "data:"
    assert parts["style-src"] == f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
    assert parts["base-uri"] == parts["form-action"] == "'none'"
    assert "unsafe" not in policy


def test_says_what_a_reader_needs():
    text = words(sample_report())
    assert "at least 204 of 10,000 samples, in 4 campaigns" in text
    assert "What was not seen The smallest poison that would have been found is 9 samples for patch at a fixed place, 120 for label flips" in text
    for heading in ("What we saw", "Why it matters", "How sure", "What would make it false", "What to do"):
        assert text.count(heading) >= 4, heading
    assert "put on held-out samples it flips 91%, matched controls flip 1.4%" in text
    assert "24 of 97 shown" in text
    assert "MITRE ATLAS 5.6.0 (2026-04-30): AML.T0020" in text
    assert "sample-specific warping not at any size" in text
    assert "needs reference (give a trusted set with --reference)" in text
    assert "truncated after 1,024 bytes" in text
    assert "bezoar clean data/signs-2026 --report report.json --out cleaned" in text
    assert "vendor-b" in text
    assert "accepted" in text
    assert "advisory" in text


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_of_a_bare_report(verdict):
    assert f">{verdict}<" in page(empty_report(verdict))


def test_every_picture_has_a_text_and_a_size():
    text = page(sample_report())
    pictures = re.findall(r"<img [^>]*>", text)
    assert len(pictures) > 30
    for tag in pictures:
        assert re.search(r'alt="[^"]+"', tag)
        assert re.search(r'width="\d+" height="\d+"', tag)
    assert all('aria-label="' in tag or 'aria-hidden="true"' in tag for tag in re.findall(r"<svg[^>]*>", text))


def test_headings_never_skip_a_level():
    levels = [int(x) for x in re.findall(r"<h([1-6])", page(sample_report()))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_ids_are_unique_and_links_lead_somewhere():
    text = page(sample_report())
    ids = re.findall(r'\sid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', text)) <= set(ids)
    assert set(re.findall(r'aria-labelledby="([^"]*)"', text)) <= set(ids)


def test_same_twice():
    assert page(sample_report()) == page(sample_report())


def test_thumbnails_are_the_pixels():
    """What the reviewer sees is what the model sees: small pictures go in without loss."""
    report = sample_report()
    data = re.findall(r'data:image/png;base64,([A-Za-z0-9+/=]+)"[^>]*alt="sample', page(report))
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[0]))))
    np.testing.assert_array_equal(shown, report.findings[0].evidence[0].pixels)


def photo(rng, side):
    return Picture(rng.integers(0, 256, (side, side, 3), dtype=np.uint8), "noise", f"n{side}")


def test_page_stays_small_with_many_large_campaigns():
    rng = np.random.default_rng(5)
    base = sample_report().findings[0]
    pictures = [photo(rng, 400) for _ in range(24)]
    findings = tuple(dataclasses.replace(base, members=tuple(f"{i}/{k}" for k in range(24)), title=f"campaign {i}",
                                         evidence=tuple(dataclasses.replace(p, sample=f"{i}/{k}") for k, p in enumerate(pictures)))
                     for i in range(70))
    text = page(dataclasses.replace(sample_report(), findings=findings, accepted=()))
    assert len(text) < 2_300_000
    assert "20 more findings in report.json" in text
    sizes = [len(base64.b64decode(d)) for d in re.findall(r"base64,([A-Za-z0-9+/=]+)", text)]
    assert max(sizes) <= MOST_PICTURE


def test_a_full_album_says_so():
    album, pixels = Album(left=5000), photo(np.random.default_rng(1), 64).pixels
    made = [album.uri(pixels, 64) for _ in range(9)]
    assert made[0] is not None
    assert made[-1] is None
    assert "not shown here" in figure(Picture(pixels), album)


def test_long_lists_are_cut_and_counted():
    many = tuple((f"f{i}.png", "damaged") for i in range(5000))
    text = words(dataclasses.replace(sample_report(), unreadable=many, notes=tuple(f"note {i}" for i in range(3000))))
    assert "and 4,800 more in report.json" in text
    assert len(text) < 200_000


ODD = {
    "wrong shape": Picture(np.zeros((3, 3), np.uint8)), "no pixels": Picture(np.zeros((0, 0, 3), np.uint8)), "float": Picture(np.full((2, 2, 3), np.nan, np.float32)),
    "rgba": Picture(np.zeros((2, 2, 4), np.uint8)), "bool": Picture(np.zeros((2, 2, 3), bool)), "huge step": Picture(np.zeros((2, 2, 3), np.uint8), enlarge=10**9),
    "long thin": Picture(np.zeros((1, 3000, 3), np.uint8)), "marks outside": Excerpt("abc", ((5, 9), (-3, 2), (2, 1), (1, 100))), "no text": Excerpt(""),
    "many marks": Excerpt("ab" * 500, tuple((i, i + 1) for i in range(0, 1000, 2))), "ragged": Facts(("a",), (("1", "2", "3"), ())), "no facts": Facts((), ()),
    "bars uneven": Bars(("a", "b"), (1.0,)), "bars nan": Bars(("a",), (float("nan"),)), "bars negative": Bars(("a", "b"), (-1.0, -2.0)), "no bars": Bars((), ()),
    "bars zero": Bars(("a",), (0.0,)), "bars inf": Bars(("a", "b"), (float("inf"), 1.0)), "no series": Plot(np.arange(3.0), {}),
    "plot nan": Plot(np.full(3, np.nan), {"a": np.full(3, np.inf)}), "uneven series": Plot(np.arange(3.0), {"a": np.arange(4.0)}), "one point": Plot(np.zeros(1), {"a": np.zeros(1)}, "step"),
    "no points": Plot(np.zeros(0), {"a": np.zeros(0)}), "flat": Plot(np.arange(3.0), {"a": np.ones(3)}, "points"), "twenty series": Plot(np.arange(3.0), {str(i): np.arange(3.0) for i in range(20)}),
    "huge": Plot(np.arange(3.0) * 1e300, {"a": np.array([1e300, -1e300, 0])}), "tiny": Plot(np.arange(3.0) * 1e-300, {"a": np.arange(3.0) * 1e-300}),
    "empty map": Scatter(np.zeros((0, 2)), np.zeros(0, bool), np.zeros(0, int)), "flat map": Scatter(np.zeros(5), np.zeros(5, bool), np.zeros(5, int)),
    "map short": Scatter(np.zeros((5, 2)), np.zeros(2, bool), np.zeros(0, int)), "map nan": Scatter(np.full((4, 2), np.nan), np.ones(4, bool), np.zeros(4, int)),
    "map negative class": Scatter(np.eye(2), np.ones(2, bool), np.array([-1, 99])), "map float class": Scatter(np.eye(2), np.zeros(2, bool), np.array([np.nan, 1.0])),
}


@pytest.mark.parametrize("name", ODD)
def test_evidence_that_anybody_could_have_written(name):
    drawn = figure(ODD[name], Album())
    assert drawn.startswith("<figure")
    assert "nan" not in re.sub(r">[^<]*<|aria-label=\"[^\"]*\"", "", drawn).lower()
    f = dataclasses.replace(sample_report().findings[0], evidence=(ODD[name], dataclasses.replace(ODD[name], sample="x") if hasattr(ODD[name], "sample") else ODD[name]))
    assert "</html>" in page(dataclasses.replace(sample_report(), findings=(f,), overview=(ODD[name],)))


def test_map_keeps_every_flagged_point_it_can_and_stays_small():
    rng = np.random.default_rng(2)
    drawn = scatter(Scatter(rng.normal(size=(100_000, 2)), np.arange(100_000) % 10 == 0, rng.integers(0, 40, 100_000)))
    assert len(drawn) < 90_000
    assert all(f'faint c{k}"' in drawn for k in range(COLOURS))
    assert 'class="hit"' in drawn


def test_plot_coordinates_stay_inside():
    drawn = plot(sample_report().overview[1])
    x = [float(v) for v in re.findall(r"H(-?[\d.]+)", drawn)]
    assert min(x) >= 0
    assert max(x) <= 400


def test_ticks_are_round_and_few():
    for low, high in ((0, 1), (0, 0.013), (3, 12345), (-2, 2), (0, 1e-9), (5, 5)):
        made = ticks(low, high)
        assert 1 <= len(made) <= 7
        assert all(low - 1e-9 <= t <= high * (1 + 1e-9) + 1e-9 for t in made)


def test_excerpt_shows_every_mark_of_a_long_text():
    text = "a" * 5000 + "TRIGGER" + "b" * 5000 + "SECOND" + "c" * 5000
    drawn = excerpt(Excerpt(text, ((5000, 5007), (10007, 10013))))
    assert "<mark>TRIGGER</mark>" in drawn
    assert "<mark>SECOND</mark>" in drawn
    assert "more characters" in drawn
    assert len(drawn) < 2500


def test_bars_say_shares_as_percent_and_counts_as_counts():
    assert "4.85%" in bars(Bars(("a", "b"), (0.0485, 0.0)))
    assert ">12,345<" in bars(Bars(("a",), (12345.0,)))
    assert 'width="50.00"' in bars(Bars(("a",), (0.5,)), full=1.0)


def test_place_of_a_patch():
    drawn = where(28 / 32, 28 / 32, np.ones((3, 3)), (32, 32), 0.0)
    (x,) = re.findall(r'class="spot" x="([\d.]+)" y="[\d.]+" width="9.4"', drawn)
    assert float(x) == pytest.approx(87.5, abs=0.1)
    full = np.zeros((32, 32))
    full[2:5, 3:6] = 1
    assert 'x="9.4" y="6.2"' in where(0.0, 0.0, full, (32, 32), 0.0)
    assert where(0.0, 0.0, np.zeros((3, 3)), (32, 32), 0.0) == ""


def test_trigger_is_cropped_to_what_it_changes():
    mask = np.zeros((32, 32), np.float32)
    mask[28:31, 28:31] = 1
    trigger = Patch(np.full((32, 32, 3), 200, np.uint8), mask, 0.0, 0.0)
    f = dataclasses.replace(sample_report().findings[0], trigger=trigger, evidence=())
    data = re.findall(r'base64,([A-Za-z0-9+/=]+)"[^>]*alt="the trigger', page(dataclasses.replace(sample_report(), findings=(f,))))
    assert max(Image.open(io.BytesIO(base64.b64decode(data[0]))).size) <= 5


def test_a_page_names_its_folder_only_where_that_is_a_way_from_here(tmp_path, monkeypatch):
    from bezoar import write_report

    monkeypatch.chdir(tmp_path)
    write_report(sample_report(), "out/today", ("html",))
    write_report(sample_report(), tmp_path / "far", ("html",))
    assert b"--report out/today/report.json" in (tmp_path / "out/today/report.html").read_bytes()
    assert str(tmp_path).encode() not in (tmp_path / "far/report.html").read_bytes()


@pytest.mark.parametrize("values", [(1.0, 0.0), (0.25, 0.75), (1.0000001, 0.0)])
def test_shares_are_read_as_percentages_also_where_one_has_all(values):
    drawn = bars(Bars(("a", "b"), values, caption="share of the pull, by source"))
    assert drawn.count("%</td>") == 2
    assert "100%" not in bars(Bars(("a", "b"), (1.0, 0.0), caption="members by source"))
