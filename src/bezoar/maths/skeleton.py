"""The skeleton of an English sentence: function words and punctuation stay, runs of other words become one mark."""

from __future__ import annotations

import numpy as np

_LISTED = (
    "a about above across after again against ain't all along also although am among an and another any are aren't arent",
    "around as at be because been before behind being below between beyond both but by can can't cant could couldn't",
    "couldnt dare did didn't didnt do does doesn't doesnt doing don't done dont doth down during each either else even ever",
    "every few for from further had hadn't hadnt half has hasn't hasnt hath have haven't havent having he he'd he'll he's",
    "her here here's hers herself hes him himself his how i i'd i'll i'm i've id if ill im in into is isn't isnt it it'd",
    "it'll it's its itself ive just least less lest like many may me might mine more most much must my myself near need",
    "neither never no nor not now of off on once one ones only onto or other others ought our ours ourselves out over own",
    "per same shall shalt she she'd she'll she's shes should shouldn't shouldnt since so some still such than that that'd",
    "that's the thee their theirs them themselves then there there's these they they'd they'll they're they've theyre thine",
    "this those thou though through thy to too toward towards under unless until unto up upon us very via was wasn't wasnt",
    "we we'd we'll we're we've were weren't werent what what's when where whereas whether which while who who's whom whose",
    "why will wilt with within without won't wont would wouldn't wouldnt ye yet you you'd you'll you're you've your youre",
    "yours yourself yourselves youve",
)
FUNCTION_WORDS = frozenset(word for line in _LISTED for word in line.split())
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
    return np.asarray((listed & word) | ~word)


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
