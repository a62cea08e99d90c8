"""Escaping, over every character there is: what steers or hides becomes visible, what people write stays as it is."""

import sys
import unicodedata

import pytest

from bezoar.core.escape import block, cell, hides, html_block, html_line, line, storable

HIDDEN = [chr(c) for c in range(sys.maxunicode + 1) if hides(c)]
SOME = [chr(c) for c in range(sys.maxunicode + 1) if hides(c) or c < 0x3100 or c % 29 == 0]


def test_no_character_that_steers_or_hides_is_left():
    text = "".join(SOME)
    for write, kept in ((line, set()), (html_line, set()), (block, {"\n"}), (html_block, {"\n"})):
        shown = set(write(text, limit=len(text)))
        assert {c for c in shown if hides(ord(c))} == kept
        assert {c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}} == kept


def test_distinct_characters_stay_distinct():
    few = [c for c in HIDDEN if ord(c) < 0xF0000]
    assert len(HIDDEN) > 130_000
    assert len({line(c) for c in few}) == len({html_line(c) for c in few}) == len(few) > 8000


@pytest.mark.parametrize("text", ["Grüße, señor", "日本語のテキスト", "русский текст", "שלום עולם", "مرحبا", "हिन्दी", "ไทย", "한국어", "emoji 😀🚀", "a\u0301 e\u0308", "x² ≥ 3 – “quoted” … €5",
                                  "a b", "C:\\Users\\x", "<b> & \"q\" 'a'", "ﬁ ligature", "Ⅷ ½"])
def test_what_people_write_stays_as_it_is(text):
    assert line(text) == html_line(text) == storable(text) == text


@pytest.mark.parametrize(("text", "shown"), [
    ("\x1b[31m", "\\x1b[31m"), ("\u202e", "\\u202e"), ("\U000e0041", "\\U000e0041"), ("a\nb\tc\r", "a\\nb\\tc\\r"), ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"), ("\ud800", "\\ud800")])
def test_shown_as(text, shown):
    assert line(text) == shown


def test_long_texts_are_cut_and_counted():
    assert line("a" * 5000, 10) == "aaaaaaaaaa… (4,990 more characters)"
    assert line("\x1b" * 10, 10) == "\\x1b" * 10


@pytest.mark.parametrize("value", ["=1", "+1+1", "-1+1", "@x", "\t=1", "\r1", "\n1", "\0", " =1", "  \u00a0@x", "\u200b=1", "\ufeff=1", "＝1", "－1", "|x", "%0a"])
def test_cells_that_could_be_formulas(value):
    assert cell(value).startswith("'")


@pytest.mark.parametrize("value", ["1", "-1", "+1.5", "-1e-5", "1.", ".5", "text", "a=b", "x-y", "", " ", "1-2", "2026-01-01", "user@example.org", "50%"])
def test_cells_that_are_left_alone(value):
    assert cell(value) == value


@pytest.mark.parametrize("value", [0, -3, 2.5, -1e-300, True])
def test_numbers_stay_numbers(value):
    assert cell(value) == repr(value)
