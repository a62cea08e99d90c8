"""Twins are drawn anew, trained on clean samples, kept; pixels are read off; a network makes its own pictures where there are none."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bezoar.core.audit import AuditView  # noqa: E402
from bezoar.core.errors import Unavailable  # noqa: E402
from bezoar.networks import twins as made  # noqa: E402
from bezoar.networks.pixels import pixels, samples  # noqa: E402
from bezoar.testing.suspects import small_suspect  # noqa: E402


def test_twins_are_trained_kept_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(made, "STEPS", 8)
    suspect, clean = small_suspect(0)
    view = AuditView(suspect, clean)
    first = made.twins(view, 2, 3, tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 2 and len({t.fingerprint for t in (*first, suspect)}) == 3
    again = made.twins(view, 2, 3, tmp_path)
    assert [t.fingerprint for t in again] == [t.fingerprint for t in first]
    next(iter(sorted(tmp_path.glob("*.npz")))).write_bytes(b"damaged")
    assert [t.fingerprint for t in made.twins(view, 2, 3, tmp_path)] == [t.fingerprint for t in first]
    assert first[0].predict(clean.inputs).shape == (len(clean), 10)


def of_each_class(clean, count):
    return clean.take(np.concatenate([np.flatnonzero(clean.labels.codes == c)[:count] for c in range(10)]))


def test_few_samples_make_no_twins():
    suspect, clean = small_suspect(0)
    with pytest.raises(Unavailable, match="20 clean samples of each class"):
        made.twins(AuditView(suspect, of_each_class(clean, 19)), 1, 0)


def test_twenty_samples_of_each_class_make_twins_that_know_the_classes():
    suspect, clean = small_suspect(0)
    some = of_each_class(clean, 20)
    rest = clean.take(np.flatnonzero(~np.isin(clean.ids, some.ids)))
    for twin in made.twins(AuditView(suspect, some), 2, 0):
        assert (twin.predict(rest.inputs).argmax(axis=1) == rest.labels.codes).mean() > 0.75


def test_twins_that_do_not_know_the_classes_are_refused(monkeypatch):
    monkeypatch.setattr(made, "STEPS", 1)
    suspect, clean = small_suspect(0)
    shuffled = of_each_class(clean, 20)
    wrong = np.random.default_rng(0).permutation(shuffled.labels.codes)  # nothing that such samples teach holds for others
    with pytest.raises(Unavailable, match=r"more clean samples: networks trained on these 200 are right on \d+% of others"):
        made.twins(AuditView(suspect_that_knows(suspect, shuffled, wrong), replace(shuffled, labels=replace(shuffled.labels, codes=wrong))), 2, 0)


def suspect_that_knows(suspect, data, codes):
    """One that is right about these samples, whatever their labels are."""
    right = dict(zip(data.inputs.row_keys().tolist(), codes, strict=True))
    return replace(suspect, answer=lambda inputs: np.eye(10)[[right[k] for k in inputs.row_keys().tolist()]].astype(np.float32))


def test_pixels_are_read_off_and_anything_else_is_unavailable():
    suspect, clean = small_suspect(0)
    view = AuditView(suspect, clean)
    p = pixels(view)
    x, codes = samples(view, 50, np.random.default_rng(0))
    want = suspect.module(suspect.tensor(np.rint(x.numpy().transpose(0, 2, 3, 1) * 255).astype(np.uint8)))
    torch.testing.assert_close(p.logits(x), want, atol=1e-4, rtol=1e-4)
    assert (np.bincount(codes, minlength=10) == 5).all()
    with pytest.raises(Unavailable, match="rescaling"):
        pixels(AuditView(replace(suspect, tensor=lambda rows: suspect.tensor(rows) ** 2)))


def test_without_data_the_network_makes_pictures_of_its_classes():
    suspect, _ = small_suspect(0)
    x, codes = samples(AuditView(suspect), 80, np.random.default_rng(0))
    assert float(x.min()) >= 0 and float(x.max()) <= 1 and len(np.unique(codes)) == 10


def test_each_twin_draws_its_samples_anew_with_repetition_and_never_what_it_leaves_out():
    codes, there = np.repeat([0, 1, 2], [50, 30, 20]), np.arange(100) % 5 != 0
    rows = made._drawn(codes, there, np.random.default_rng(0))
    assert there[rows].all() and len(np.unique(rows)) < 0.8 * len(rows)
    assert np.bincount(codes[rows]).tolist() == np.bincount(codes[there]).tolist()
    assert not np.array_equal(rows, made._drawn(codes, there, np.random.default_rng(1)))
