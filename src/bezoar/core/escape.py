"""Text that others wrote, made safe to show: every sink calls one of these, at output and never at storage.

Hidden and steering characters (C0, C1, DEL, bidi controls, zero-width, tags, fillers, lone surrogates, private use)
become visible escapes, so that a name can neither move a cursor, nor turn a line round, nor hide.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata

_UNSEEN = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10),
           *range(0xE0100, 0xE01F0), *range(0x2065, 0x2066)}
"""Characters that draw nothing although their category is a letter or a mark."""
_STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_FORMULA = tuple("=+-@\t\r\n\0|%＝＋－＠")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z")


def hides(code: int) -> bool:
    """Whether a character draws nothing itself or changes how others are drawn.

    >>> [hides(ord(c)) for c in "a\\u202e\\u200b"]
    [False, True, True]
    """
    return unicodedata.category(chr(code)) in _STEERING or code in _UNSEEN


def backslash(code: int) -> str:
    """The escape of Python and JSON readers.

    >>> backslash(0x1b), backslash(0x202e)
    ('\\\\x1b', '\\\\u202e')
    """
    named = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}.get(code)
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def codepoint(code: int) -> str:
    """The name that Unicode gives a character, in brackets that catch the eye.

    >>> codepoint(0x200b)
    '⟨U+200B⟩'
    """
    return f"⟨U+{code:04X}⟩"


class _Table(dict[int, int | str]):
    """A translation that fills itself: `str.translate` asks once per distinct character."""

    def __init__(self, write: object, keep: str = "") -> None:
        super().__init__({ord(c): c for c in keep})
        self._write = write

    def __missing__(self, code: int) -> int | str:
        assert callable(self._write)
        value: int | str = self._write(code) if hides(code) else code
        if len(self) < 65536:
            self[code] = value
        return value


_LINE = _Table(backslash)
_BLOCK = _Table(backslash, keep="\n")
_HTML_LINE = _Table(codepoint)
_HTML_BLOCK = _Table(codepoint, keep="\n")


def clip(text: str, limit: int) -> str:
    """At most `limit` characters; what was cut is said.

    >>> clip("abcdefgh", 5)
    'abcde… (3 more characters)'
    """
    rest = len(text) - limit
    return text if rest <= 0 else f"{text[:limit]}… ({rest:,} more characters)"


def line(text: object, limit: int = 200) -> str:
    """One line for a terminal or a log: no control, bidi or zero-width character is left, LF included.

    >>> line("a\\x1b[2Jb\\n")
    'a\\\\x1b[2Jb\\\\n'
    """
    return clip(str(text), limit).translate(_LINE)


def block(text: object, limit: int = 2000) -> str:
    """Several lines for a terminal: as `line`, but LF stays."""
    return clip(str(text), limit).translate(_BLOCK)


def html_line(text: object, limit: int = 200) -> str:
    """Text of an HTML element or attribute: hidden characters as visible names. Markup is left to autoescaping.

    >>> html_line("pay\\u200bpal")
    'pay⟨U+200B⟩pal'
    """
    return clip(str(text), limit).translate(_HTML_LINE)


def html_block(text: object, limit: int = 2000) -> str:
    """As `html_line`, but LF stays."""
    return clip(str(text), limit).translate(_HTML_BLOCK)


def storable(text: object) -> str:
    """Text that UTF-8 can hold: lone surrogates as backslash escapes, all else as it is. For data files, not for eyes.

    >>> storable("a\\ud800")
    'a\\\\ud800'
    """
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def cell(value: object, limit: int = 32_000) -> str:
    """A CSV or spreadsheet cell that cannot start a formula; numbers stay numbers (OWASP ASVS 5.0, 1.2.10).

    >>> cell("=HYPERLINK(1)"), cell(-3.5), cell("-3.5"), cell("ok")
    ("'=HYPERLINK(1)", '-3.5', '-3.5', 'ok')
    """
    if isinstance(value, (int, float)):
        return repr(value)
    text = clip(str(value), limit)
    if _NUMBER.match(text):
        return text
    bare = next((c for c in text if not c.isspace() and not hides(ord(c))), "")
    if text[:1] in _FORMULA or bare in _FORMULA:
        text = "'" + text
    return text.translate(_LINE)


def style_source(style: str) -> str:
    """The one source of styles that a page's policy allows: the digest of its own style sheet, in base64.

    >>> style_source("p { margin: 0 }")[:12]
    '7IWhgxoOGTB5'
    """
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
