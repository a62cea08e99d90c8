"""Signing again loses no older bundle and no other file; with a log the bundle waits for its entry."""

import pytest

from bezoar.core.errors import UsageError
from bezoar.provenance import bundles, envelope, signing, statement
from bezoar.provenance.disk import DiskFailed
from bezoar.provenance.guard import Trust, verify
from bezoar.provenance.statement import About


def at(path):
    return statement.parse(envelope.parse(path.read_bytes()).payload)


def snapshot_of(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_next_version_keeps_the_one_before(desk, data):
    out = desk.sign(data, "signs.sig")
    first = out.read_bytes()
    for version in (2, 3):
        (data / "stop/1.txt").write_text(f"change {version}")
        desk.sign(data, "signs.sig", previous="signs.sig")
        assert at(out).about.version == version
    assert (desk.place / "signs.v1.sig").read_bytes() == first and at(desk.place / "signs.v2.sig").about.version == 2
    assert desk.verify(data, "signs.sig").statement.about.version == 3


@pytest.mark.parametrize("again", [{}, {"dataset": "others", "version": 9}, {"previous": "x.sig", "version": 2}])
def test_nothing_else_is_overwritten(desk, data, again):
    desk.sign(data, "x.sig")
    if "previous" in again:
        desk.sign(data, "signs.sig", previous="x.sig", version=5)
    else:
        desk.sign(data, "signs.sig")
    before = snapshot_of(desk.place)
    with pytest.raises(UsageError, match="signs.sig holds dataset 'signs' version"):
        desk.sign(data, "signs.sig", **again)
    assert snapshot_of(desk.place) == before
    about = {k: v for k, v in again.items() if k != "previous"}
    signing.sign(data, desk.keys["alice"], About(**{"dataset": "signs", **about}), out=desk.place / "signs.sig", now=desk.now,
                 replace_bundle=True)
    assert not (desk.place / "signs.v1.sig").exists()


@pytest.mark.parametrize("what", ["text", "key", "link", "folder", "empty"])
def test_a_file_that_is_no_bundle_is_never_overwritten(desk, data, what):
    out = desk.place / "precious"
    if what == "link":
        out.symlink_to(desk.sign(data, "v1.sig"))
    elif what == "folder":
        out.mkdir()
    else:
        out.write_bytes({"text": b"thesis", "key": desk.keys["bob"].public.pem, "empty": b""}[what])
    before = snapshot_of(desk.place)
    for replace in (False, True):
        with pytest.raises(UsageError, match="precious exists and is no bundle"):
            signing.sign(data, desk.keys["alice"], About(dataset="signs"), out=out, now=desk.now, replace_bundle=replace)
    assert snapshot_of(desk.place) == before


def test_a_kept_bundle_is_not_lost_to_a_later_one(desk, data):
    out = desk.sign(data, "signs.sig")
    (desk.place / "signs.v1.sig").write_bytes(b"something else")
    with pytest.raises(UsageError, match=r"signs\.v1\.sig is not the dataset 'signs' version 1"):
        desk.sign(data, "signs.sig", previous="signs.sig")
    (desk.place / "signs.v1.sig").write_bytes(out.read_bytes())
    desk.sign(data, "signs.sig", previous="signs.sig")
    assert at(out).about.version == 2


def test_inside_the_data_an_older_bundle_has_no_place(desk, data):
    out = data / "signs.sig"
    signing.sign(data, desk.keys["alice"], About(dataset="signs"), out=out, now=desk.now)
    with pytest.raises(UsageError, match="would change the data"):
        signing.sign(data, desk.keys["alice"], previous=signing.read_signature(out), out=out, now=desk.now)
    signing.sign(data, desk.keys["alice"], previous=signing.read_signature(out), out=out, now=desk.now, replace_bundle=True)
    assert verify(data, [out], Trust((desk.public("alice"),)), now=desk.now).statement.about.version == 2


def test_a_cosignature_follows_the_same_rule(desk, data):
    one = signing.read_signature(desk.sign(data, "v1.sig"))
    signing.cosign(one, desk.keys["bob"], desk.place / "bob.sig")
    with pytest.raises(UsageError, match="holds dataset 'signs' version 1 already"):
        signing.cosign(one, desk.keys["bob"], desk.place / "bob.sig")
    two = signing.read_signature(desk.sign(data, "v2.sig", previous="v1.sig"))
    signing.cosign(two, desk.keys["bob"], desk.place / "bob.sig")
    assert at(desk.place / "bob.v1.sig").about.version == 1 and at(desk.place / "bob.sig").about.version == 2


def test_where_the_log_fails_no_bundle_appears(desk, data):
    out, key = desk.place / "signs.sig", desk.keys["alice"]

    def full(fresh, bundle):
        assert not out.exists()
        raise DiskFailed("no space left")

    def wrong(fresh, bundle):
        raise UsageError("no such log")

    with pytest.raises(UsageError):
        signing.sign(data, key, About(dataset="signs"), out=out, now=desk.now, record=wrong)
    assert not list(desk.place.glob(".*")) and not out.exists()
    with pytest.raises(DiskFailed):
        signing.sign(data, key, About(dataset="signs"), out=out, now=desk.now, record=full)
    assert not out.exists()
    with pytest.raises(UsageError, match="cut off"):  # nobody knows whether it was logged
        signing.sign(data, key, About(dataset="signs"), out=out, now=desk.now)
    assert bundles.resume(out, lambda fresh, bundle: False) is None and not out.exists() and not list(desk.place.glob(".*"))
    with pytest.raises(DiskFailed):
        signing.sign(data, key, About(dataset="signs"), out=out, now=desk.now, record=full)
    held = bundles.resume(out, lambda fresh, bundle: fresh.about.dataset == "signs")
    assert held == out.read_bytes() and not list(desk.place.glob(".*")) and bundles.resume(out, lambda fresh, bundle: True) is None
