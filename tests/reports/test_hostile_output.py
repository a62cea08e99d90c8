"""Whatever stands in the data, the reports keep their shape: no output is steered by text that an attacker wrote."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import pyarrow.parquet as pq
import pytest
from hostile_strings import HOSTILE, hostile_report
from sample_report import sample_report

from bezoar.core.escape import hides
from bezoar.reports.csv_report import CsvReport
from bezoar.reports.html_report import HtmlReport
from bezoar.reports.json_report import JsonReport, load
from bezoar.reports.sarif_report import SarifReport
from bezoar.reports.scores_parquet import ScoresParquet
from bezoar.reports.terminal import Terminal

BY_NUMBER = [pytest.param(t, id=f"{i}-{t[:12].encode('unicode_escape').decode()}") for i, t in enumerate(HOSTILE)]
OWN_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Skeleton(HTMLParser):
    """Elements in order with the names of their attributes: what an attacker must not be able to change."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.shape: list[tuple] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.shape.append((tag, *(k for k, _ in attrs)))

    def handle_endtag(self, tag):
        self.shape.append(("/" + tag,))

    def handle_comment(self, data):
        self.shape.append(("comment",))


def unseen_in(text: str, keep: str = "\n") -> set[str]:
    return {c for c in set(text) if c not in keep and hides(ord(c))}


@pytest.fixture(scope="module")
def shape_of_x():
    return Skeleton(HtmlReport().render(hostile_report("x")).decode()).shape


def test_there_are_enough_of_them():
    assert len(set(HOSTILE)) >= 100


@pytest.mark.parametrize("text", BY_NUMBER)
def test_html_keeps_its_skeleton(text, shape_of_x):
    page = HtmlReport().render(hostile_report(text)).decode("utf-8")
    assert Skeleton(page).shape == shape_of_x
    assert unseen_in(page) == set()
    assert "javascript:" not in "".join(re.findall(r'(?:href|src|action)="[^"]*"', page))


@pytest.mark.parametrize("text", BY_NUMBER)
def test_terminal_has_no_raw_control(text):
    plain = Terminal(width=80).render(hostile_report(text)).decode("utf-8")
    assert unseen_in(plain) == set()
    coloured = Terminal(width=80, colour=True).render(hostile_report(text)).decode("utf-8")
    assert unseen_in(OWN_COLOUR.sub("", coloured)) == set()
    assert "\x1b]" not in coloured


@pytest.mark.parametrize("text", BY_NUMBER)
def test_terminal_forges_no_line(text):
    lines = Terminal(width=160).render(hostile_report(text)).decode("utf-8").splitlines()
    assert "fake line" not in {x.strip() for x in lines}
    assert not any(x.strip().startswith("VERDICT clean") for x in lines)


@pytest.mark.parametrize("text", BY_NUMBER)
def test_json_is_ascii_and_comes_back(text):
    data = JsonReport().render(hostile_report(text))
    assert max(data) < 0x7F
    assert not set(data) & (set(range(0x20)) - {0x0A})
    back = load(data)
    assert back.findings[0].title == text
    assert back.findings[0].id == hostile_report(text).findings[0].id
    assert JsonReport().render(back) == data


@pytest.mark.parametrize("text", BY_NUMBER)
def test_sarif_makes_no_link_and_leaves_no_folder(text):
    data = SarifReport().render(hostile_report(text))
    assert max(data) < 0x7F
    run = json.loads(data)["runs"][0]
    for result in run["results"]:
        told = result["message"]["text"]
        assert not re.search(r"(?<!\\)\[", told)
        assert not re.search(r"(?<!\{)\{(\{\{)*(?!\{)", told)
        assert unseen_in(told) == set()
        for location in result["locations"]:
            uri = location.get("physicalLocation", {}).get("artifactLocation", {}).get("uri", "")
            assert ".." not in uri.split("/")
            assert not uri.startswith("/")
            assert re.fullmatch(r"[A-Za-z0-9._~%/-]*", uri)


@pytest.mark.parametrize("text", BY_NUMBER)
def test_csv_starts_no_formula(text):
    data = CsvReport().render(hostile_report(text)).decode("utf-8")
    rows = list(csv.reader(io.StringIO(data, newline="")))
    assert len({len(r) for r in rows}) == 1
    assert len(rows) == 4
    assert unseen_in(data, "\r\n") == set()
    for row in rows[1:]:
        for value in row:
            assert value.lstrip(" \u00a0\u3000\u2009'")[:1] not in set("=+-@|%＝＋－＠") or value.startswith("'") or re.fullmatch(r"-?[\d.e-]+", value)
            assert value[:1] not in set("=+@\t\r\n\0")


@pytest.mark.parametrize("text", BY_NUMBER)
def test_parquet_keeps_what_utf8_can_hold(text):
    table = pq.read_table(io.BytesIO(ScoresParquet().render(hostile_report(text))))
    first = table.column("id")[0].as_py()
    assert first == text.encode("utf-8", "backslashreplace").decode()


def test_no_command_ever_holds_a_hostile_path():
    for text in HOSTILE:
        page = HtmlReport().render(hostile_report(text)).decode()
        commands = re.findall(r"bezoar (?:clean|scan) (\S+)", page)
        assert commands
        assert all(re.fullmatch(r"DATA|/?[A-Za-z0-9][A-Za-z0-9_./-]*", c) for c in commands), text[:40]


def test_rich_report_has_no_hidden_character():
    assert unseen_in(HtmlReport().render(sample_report()).decode()) == set()
