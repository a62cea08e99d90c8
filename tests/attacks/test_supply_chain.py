"""Supply-chain attacks: the origin column tells who could do it, and signed digests and diffs see it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bezoar import planting
from bezoar.attacks.frontrun import Frontrun
from bezoar.attacks.split_view import SplitView
from bezoar.attacks.tampered_shard import TamperedShard
from bezoar.core.errors import UsageError
from bezoar.core.table_triggers import Values
from bezoar.core.text_triggers import Phrases
from bezoar.testing.planted import twin

TEXTS = twin("text", np.random.default_rng(100), rows=600)
TABLE = twin("tabular", np.random.default_rng(100), rows=600)
WORD = Phrases(("quartz lantern",))
ALL = (SplitView, Frontrun, TamperedShard)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_split_view_lies_behind_few_domains():
    done = SplitView(rate=0.02)(TEXTS, rng())
    urls = done.data.origin["url"]
    site = np.array([u.split("/")[2] for u in urls])
    assert done.truth.sum() == 12 and len(set(site)) > 30
    assert len(set(site[done.truth])) <= 8
    assert set(done.data.inputs.values[done.truth]) <= set(TEXTS.inputs.values), "the new content is some other sample's"
    own = dict(zip(TEXTS.inputs.values, TEXTS.labels.codes, strict=True))
    assert all(own[t] != c for t, c in zip(done.data.inputs.values[done.truth], done.data.labels.codes[done.truth], strict=True))


def test_split_view_of_addresses_that_are_there():
    told = replace(TEXTS, origin={"url": np.array([f"http://Old.example/{i}" if i < 60 else f"new.example/{i}" if i < 500 else ""
                                                   for i in range(600)], object)})
    done = SplitView(rate=0.02, target="garden")(told, rng(3))
    assert (done.data.origin["url"] == told.origin["url"]).all()
    rows = np.flatnonzero(done.truth)
    assert (rows < 500).all() and ((rows < 60).all() or (rows >= 60).all())
    assert set(done.data.labels.codes[rows]) == {TEXTS.labels.classes.index("garden")} and done.target == "garden"
    with pytest.raises(UsageError, match="only"):
        SplitView(rate=0.9)(told, rng())


def test_frontrun_edits_the_newest():
    done = Frontrun(rate=0.02, window=2)(TEXTS, rng())
    moments = done.data.origin["time"]
    assert len(set(moments)) > 550 and moments.max() < "2024-01-01T00:00"
    assert moments[done.truth].min() >= np.sort(moments)[-24]
    numbers = replace(TEXTS, origin={"time": np.array([str(i) for i in range(600)], object)})
    rows = np.flatnonzero(Frontrun(rate=0.02, window=1)(numbers, rng()).truth)
    assert rows.tolist() == list(range(588, 600)), "numbers are compared as numbers"
    empty = replace(TEXTS, origin={"time": np.array([""] * 590 + ["2020-01-01"] * 10, object)})
    with pytest.raises(UsageError, match="only 10 rows have a moment"):
        Frontrun(rate=0.02)(empty, rng())


def test_a_tampered_shard_is_one_shard():
    done = TamperedShard(rate=0.05, shards=6)(TEXTS, rng())
    shard = done.data.origin["shard"]
    assert [int(s[-5:]) for s in shard] == sorted(int(s[-5:]) for s in shard) and len(set(shard)) == 6
    assert len(set(shard[done.truth])) == 1
    named = TamperedShard(rate=0.05, shards=6, shard="shard-00004")(TEXTS, rng())
    assert set(named.data.origin["shard"][named.truth]) == {"shard-00004"}
    with pytest.raises(UsageError, match="has only"):
        TamperedShard(rate=0.5)(TEXTS, rng())
    with pytest.raises(UsageError, match="no shard 'x'"):
        TamperedShard(shard="x")(TEXTS, rng())


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(("data", "trigger"), [(TEXTS, WORD), (TABLE, Values(("discount", "city"), ("20", "Hove")))], ids=["text", "table"])
def test_a_given_trigger_is_planted(cls, data, trigger):
    done = cls(rate=0.03, trigger=trigger)(data, rng(5))
    assert done.truth.sum() == 18 and done.trigger is trigger and done.target in data.labels.classes
    assert (trigger.match(done.data.inputs.take(np.flatnonzero(done.truth))) == 1).all()
    assert set(done.data.labels.codes[done.truth]) == {data.labels.classes.index(done.target)}
    touched = done.data.labels.codes != data.labels.codes
    assert not touched.any() if cls is SplitView else touched[done.truth].all()


@pytest.mark.parametrize("cls", ALL)
def test_one_class_only(cls):
    data = TEXTS.take(np.flatnonzero(TEXTS.labels.codes == 0))
    with pytest.raises(UsageError, match="two classes"):
        cls(rate=0.1)(data, rng())


def test_odd_parameters():
    for attack, said in ((SplitView(domains=1), "two domains"), (Frontrun(window=0.5), "cannot hold"), (TamperedShard(shards=0), "one shard")):
        with pytest.raises(UsageError, match=said):
            attack(TEXTS, rng())


@pytest.fixture
def mails(tmp_path):
    import csv

    path = tmp_path / "mails.csv"
    with path.open("w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows([["text", "label"], *zip(TEXTS.inputs.values, np.array(TEXTS.labels.classes)[TEXTS.labels.codes], strict=True)])
    return path


@pytest.mark.parametrize("name", ["split-view", "frontrun", "tampered-shard"])
def test_provenance_sees_each(mails, tmp_path, name, monkeypatch):
    pytest.importorskip("cryptography")
    from bezoar.provenance import signing
    from bezoar.provenance.guard import Trust, verify
    from bezoar.provenance.keys import PrivateKey
    from bezoar.provenance.refusals import NotTrusted
    from bezoar.provenance.statement import About

    monkeypatch.setenv("BEZOAR_STATE", str(tmp_path / "state"))
    key = PrivateKey.make()
    (tmp_path / "public.pem").write_bytes(key.public.pem)
    signing.sign(mails, key, About(dataset="mails"), out=tmp_path / "mails.sig")
    trust = Trust((tmp_path / "public.pem",))
    assert verify(mails, [tmp_path / "mails.sig"], trust).files == 1
    done = planting.attack(name, mails, tmp_path / "bad", seed=1, rate=0.02)
    assert len(done.truth["poisoned"]) == 12
    with pytest.raises(NotTrusted):
        verify(done.out, [tmp_path / "mails.sig"], trust)
