"""The skeleton of an English sentence: function words and punctuation stay, runs of other words become one mark."""

from __future__ import annotations

import numpy as np

FUNCTION_WORDS = frozenset("""
a an the this that these those some any no every each either neither both all half such what which whose
i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers herself
it its itself they them their theirs themselves who whom one ones another others
am is are was were be been being have has had having do does did doing done will would shall should can could may might
must ought need dare im ive id ill youre youve hes shes its were theyre dont doesnt didnt isnt arent wasnt werent wont
wouldnt cant couldnt shouldnt havent hasnt hadnt
i'm i've i'd i'll you're you've you'd you'll he's he'd he'll she's she'd she'll it's it'd it'll we're we've we'd we'll
they're they've they'd they'll that's that'd there's here's what's who's don't doesn't didn't isn't aren't wasn't
weren't won't wouldn't can't couldn't shouldn't haven't hasn't hadn't ain't
and or but nor so yet if then else because since as until while although though unless whereas whether lest than
of in to for with on at by from up about into over after under above below between through during before without
within along across behind beyond near off out upon toward towards against among around per via like onto down
not only also just even still too very more most much many few less least own same other again further once ever never
now here there when where why how
thou thee thy thine ye hath doth shalt wilt unto
""".split())
MARK = "•"
END = "¶"


def function_codes(names: list[str], share: np.ndarray) -> np.ndarray:
    """(m,) bool: which symbols are function words or punctuation.

    share (m,) of all symbols that each one makes up. Where the English list covers less than a tenth of the words the
    100 most frequent words serve instead (another language).
    """
    word = np.array([s[:1].isalnum() for s in names], bool)
    listed = np.array([s in FUNCTION_WORDS for s in names], bool)
    if share[listed].sum() < 0.1 * share[word].sum():
        listed = np.zeros(len(names), bool)
        listed[np.argsort(np.where(word, -share, 1), kind="stable")[:100]] = True
    return (listed & word) | ~word


def skeleton(codes: np.ndarray, sequence: np.ndarray, is_function: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and sequences with each run of other symbols collapsed to the code `len(is_function)`.

    >>> s, q = skeleton(np.array([0, 1, 2, 0]), np.array([0, 0, 0, 1]), np.array([True, False, False]))
    >>> s.tolist(), q.tolist()
    ([0, 3, 0], [0, 0, 1])
    """
    plain = ~is_function[codes]
    same = np.r_[False, sequence[1:] == sequence[:-1]] if len(codes) else np.zeros(0, bool)
    repeated = plain & np.r_[False, plain[:-1]] & same if len(codes) else plain
    out = np.where(plain, len(is_function), codes)
    return out[~repeated], sequence[~repeated]
