"""The commands, as printed in their help, in one story; bad input gives one sentence and the right exit code."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from bezoar.cli import policy, sign, trace, versions


def examples(epilog):
    return [row.strip() for row in epilog.splitlines() if row.strip().startswith("bezoar ")]


@pytest.fixture
def desk_folder(tmp_path):
    for i in range(6):
        place = tmp_path / "photos" / f"digit {i % 4}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i:04d}.png").write_bytes(bytes([i]) * 100)
    (tmp_path / "mails.csv").write_text("verdict,text\nspam,a\nham,b\n")
    return tmp_path


@pytest.fixture
def bezoar(desk_folder, said, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(desk_folder)
    here = tmp_path_factory.mktemp("path")
    (here / "python").symlink_to(sys.executable)  # some systems have python3 alone
    monkeypatch.setenv("PATH", f"{here}{os.pathsep}{os.environ['PATH']}")
    return lambda text: said(*shlex.split(text)[1:])


STORY = [sign.KEYGEN_EPILOG, sign.SIGN_EPILOG, sign.VERIFY_EPILOG, sign.GATE_EPILOG, policy.POLICY_EPILOG, policy.RECORD_EPILOG,
         versions.SNAPSHOT_EPILOG, versions.VERSIONS_EPILOG, versions.DIFF_EPILOG, versions.CHECKOUT_EPILOG, versions.ROLLBACK_EPILOG, versions.POINTERS_EPILOG,
         trace.TRACE_EPILOG, trace.EXPORT_EPILOG, trace.SOURCES_EPILOG]


def test_the_examples_run_as_printed_and_in_this_order(bezoar):
    for epilog in STORY:
        assert len(examples(epilog)) >= 2
        for text in examples(epilog):
            if "--prediction" in text:
                continue  # wants real pictures: tests/test_attribution.py
            if "--signature photos.sig" in text and "snapshot" in text:
                text = text.replace("photos.sig", "photos.2.sig")
            code, _, err = bezoar(text)
            assert code == 0, (text, err)


def test_json_is_json_and_nothing_else(bezoar):
    code, out, _ = bezoar("bezoar keygen --out k --no-passphrase --json")
    assert code == 0 and json.loads(out)["kind"] == "p256"
    code, out, _ = bezoar("bezoar sign photos --key k/private.pem --json")
    assert json.loads(out)["files"] == 6 and code == 0
    code, out, _ = bezoar("bezoar verify photos --public-key k/public.pem --json")
    assert json.loads(out)["verified"] is True and code == 0
    code, out, _ = bezoar("bezoar gate photos --public-key k/public.pem --json")
    assert json.loads(out)["open"] is True and code == 0


BAD = [
    ("bezoar verify photos --signature none.sig --public-key k/public.pem", 2, "No such file"),
    ("bezoar verify photos --public-key k/private.pem", 2, "private key"),
    ("bezoar verify photos --public-key other/public.pem", 1, "not signed by this key"),
    ("bezoar verify photos", 2, "public keys or a policy"),
    ("bezoar verify nothing --signature photos.sig --public-key k/public.pem", 2, "nothing at"),
    ("bezoar sign photos --key locked/private.pem --out x.sig", 2, "no passphrase"),
    ("bezoar sign photos --key k/public.pem --out x.sig", 2, "not a private key"),
    ("bezoar sign photos --key k/private.pem --out x.sig --days -3", 2, "is no number of days"),
    ("bezoar sign photos --key k/private.pem --out x.sig --dataset 'a*'", 2, "not a proper dataset name"),
    ("bezoar sign photos --key other/private.pem --out x.sig --previous photos.sig", 1, "not by this key"),
    ("bezoar keygen --out k --no-passphrase", 2, "never overwritten"),
    ("bezoar keygen --out new", 2, "no passphrase"),
    ("bezoar keygen --out new --kind rsa --no-passphrase", 2, "no key kind"),
    ("bezoar record prove photos x --signature photos.sig --id nothing", 2, "--out"),
    ("bezoar policy check photos.sig", 2, "not TOML"),
]


@pytest.mark.parametrize(("text", "code", "words"), BAD)
def test_bad_input_is_one_sentence_and_changes_nothing(bezoar, desk_folder, monkeypatch, text, code, words):
    monkeypatch.setenv("BEZOAR_PASSPHRASE", "a long passphrase")
    assert bezoar("bezoar keygen --out locked")[0] == 0
    monkeypatch.delenv("BEZOAR_PASSPHRASE")
    for setup in ("bezoar keygen --out k --no-passphrase", "bezoar keygen --out other --no-passphrase", "bezoar sign photos --key k/private.pem"):
        assert bezoar(setup)[0] == 0
    before = {p: p.stat().st_mtime_ns for p in desk_folder.rglob("*")}
    got, out, err = bezoar(text)
    assert got == code and words in err and "Traceback" not in err and not out
    assert err.count("\n") <= 2
    assert before == {p: p.stat().st_mtime_ns for p in desk_folder.rglob("*")}


def test_a_record_is_proved_in_and_out(bezoar):
    bezoar("bezoar keygen --out k --no-passphrase")
    bezoar("bezoar sign photos --key k/private.pem")
    more = "--signature photos.sig --public-key k/public.pem"
    assert bezoar("bezoar record prove photos 'digit 3/0003.png' --out in.json")[0] == 0
    assert bezoar("bezoar record prove photos 'digit 9/none.png' --out out.json")[0] == 0
    assert bezoar(f"bezoar record check in.json 'digit 3/0003.png' --file 'photos/digit 3/0003.png' {more}")[0] == 0
    assert bezoar(f"bezoar record check in.json 'digit 3/0003.png' --file 'photos/digit 0/0000.png' {more}")[0] == 1
    assert bezoar(f"bezoar record check out.json 'digit 9/none.png' {more}")[0] == 1
    code, _, err = bezoar(f"bezoar record check in.json 'digit 0/0000.png' {more}")
    assert code == 2 and "does not fit" in err


def test_the_gate_passes_the_exit_code_of_the_command_on_and_stays_shut_otherwise(bezoar, desk_folder):
    bezoar("bezoar keygen --out k --no-passphrase")
    bezoar("bezoar sign photos --key k/private.pem")
    code, out, _ = bezoar("bezoar gate photos --public-key k/public.pem --run \"python3 -c 'import sys; sys.exit(7)'\"")
    assert code == 7 and "gate open" in out
    (desk_folder / "photos/digit 0/9.png").write_bytes(b"poison")
    code, out, err = bezoar("bezoar gate photos --public-key k/public.pem --run \"touch ran\"")
    assert code == 1 and not (desk_folder / "ran").exists() and "not signed" in err and not out


def test_two_signers_by_cosignature(bezoar, desk_folder):
    for name in ("a", "b"):
        bezoar(f"bezoar keygen --out {name} --no-passphrase")
    bezoar("bezoar sign photos --key a/private.pem --out a.sig")
    assert bezoar("bezoar sign photos --key b/private.pem --cosign a.sig --out b.sig")[0] == 0
    assert bezoar("bezoar verify photos --signature a.sig --signature b.sig --public-key a/public.pem --public-key b/public.pem")[0] == 0
    assert bezoar("bezoar verify photos --signature a.sig --public-key a/public.pem --public-key b/public.pem")[0] == 1
    (desk_folder / "photos/digit 0/0000.png").write_bytes(b"x")
    code, _, err = bezoar("bezoar sign photos --key b/private.pem --cosign a.sig --out c.sig")
    assert code == 1 and "not the content" in err and not (desk_folder / "c.sig").exists()


def test_without_cryptography_the_reason_is_said(tmp_path):
    code = ("import sys\nclass R:\n    def find_spec(self, n, p=None, t=None):\n        if n.split('.')[0] == 'cryptography': raise ImportError(n)\n"
            "sys.meta_path.insert(0, R())\nfrom bezoar.cli.main import run\nrun(['keygen', '--out', 'x', '--no-passphrase'])")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "bezoar[provenance]" in done.stderr and "Traceback" not in done.stderr


def test_a_log_from_the_first_entry_to_a_fork_that_is_proved(bezoar, desk_folder):
    for name in ("ci", "log", "wit"):
        kind = "p256" if name == "ci" else "ed25519"
        assert bezoar(f"bezoar keygen --out keys/{name} --kind {kind} --no-passphrase")[0] == 0
    from bezoar.cli import log

    for text in examples(log.EPILOG):
        assert bezoar(text)[0] == 0, text
    key, vkey = "--key keys/log/private.pem", "--log-key audit/log.vkey"
    bezoar("bezoar sign photos --key keys/ci/private.pem")
    bezoar("bezoar policy new --name p --key ci=keys/ci/public.pem")
    assert bezoar(f"bezoar log append audit {key} --kind policy --payload bezoar.policy.toml")[0] == 0
    assert bezoar(f"bezoar log append audit {key} --kind sign --payload photos.sig")[0] == 0
    subject = json.loads(bezoar(f"bezoar log append audit {key} --subject quiet --json")[1])
    assert subject["entry"] == 2
    assert bezoar(f"bezoar log verify audit {vkey} --semantic")[0] == 0
    assert bezoar(f"bezoar log prove audit 1 {vkey} --out one.tlog-proof")[0] == 0
    code, out, _ = bezoar(f"bezoar log check one.tlog-proof {vkey} --json")
    assert code == 0 and json.loads(out)["kind"] == "sign"
    assert bezoar("bezoar log checkpoint audit --out kept")[0] == 0
    assert bezoar(f"bezoar log request audit {vkey} --out ask")[0] == 0
    code, out, _ = bezoar(f"bezoar log witness ask --name w.example/1 --key keys/wit/private.pem --state w {vkey} --out lines --json")
    assert code == 0
    witness = json.loads(out)["vkey"]
    assert bezoar(f"bezoar log cosign audit lines {key} --witness {witness}")[0] == 0
    assert bezoar(f"bezoar log verify audit {vkey} --witness {witness} --quorum 1 --older kept")[0] == 0
    assert bezoar(f"bezoar log verify audit {vkey} --quorum 1")[0] == 1
    code, _, err = bezoar(f"bezoar log witness ask --name w.example/1 --key keys/wit/private.pem --state w {vkey} --out lines")
    assert code == 2 and "--since 3" in err
    bezoar(f"bezoar log new other --origin example.org/audit {key}")
    for k in range(4):
        bezoar(f"bezoar log append other {key} --subject lie{k}")
    code, _, err = bezoar(f"bezoar log verify other {vkey} --older kept --evidence fork.json")
    assert code == 1 and "two histories" in err
    assert bezoar(f"bezoar log judge fork.json {vkey}")[0] == 1
    digest = "ab" * 32
    bezoar(f"bezoar log append audit {key} --kind promote --subject {digest}")
    code, _, err = bezoar(f"bezoar log verify audit {vkey} --semantic")
    assert code == 1 and "entry 3" in err
    assert bezoar(f"bezoar log approve audit {digest} {key} --person keys/ci/private.pem --policy bezoar.policy.toml")[0] == 0
    for text, code in ((f"bezoar log append none {key}", 2), (f"bezoar log append audit {key} --kind x", 2), (f"bezoar log prove audit 99 {vkey} --out p", 2),
                       ("bezoar log verify audit --log-key junk", 2), ("bezoar log append audit --key keys/ci/private.pem", 2),
                       (f"bezoar log new audit --origin x {key}", 2), (f"bezoar log new l2 --origin 'a b' {key}", 2)):
        got, out, err = bezoar(text)
        assert got == code and "Traceback" not in err and err.count("\n") <= 2, (text, err)


def small_report(subject):
    from bezoar.core.finding import Finding
    from bezoar.core.report import OutcomeLine, Report

    finding = Finding("association", subject, "group", "a phrase", ("1", "3"), "backdoor-dirty-label", 1e-9, 0.9, target="spam")
    report = Report(subject={"kind": "dataset", "name": "mails", "modality": "text", "samples": 4, "classes": 2, "fingerprint": subject},
                    verdict="poisoned", alpha=0.01, poisoned_at_least=2, findings=(finding,), outcomes=(OutcomeLine("association", "found"),))
    return finding.id, json.dumps(report.to_dict())


def test_sources_and_an_incident_as_commands(bezoar, desk_folder):
    rows = ["id,verdict,text,from", "1,spam,win a prize now,b", "2,ham,see you at lunch today,a", "3,spam,another prize for you,b", "4,ham,the report is done,a"]
    (desk_folder / "m.csv").write_text("\n".join(rows) + "\n")
    finding, text = small_report("f" * 64)
    (desk_folder / "report").mkdir()
    (desk_folder / "report/report.json").write_text(text)
    for name, kind in (("k", "p256"), ("log", "ed25519")):
        bezoar(f"bezoar keygen --out {name} --kind {kind} --no-passphrase")
    bezoar("bezoar log new audit --origin example.org/audit --key log/private.pem")
    code, out, err = bezoar("bezoar sources report m.csv --report report/report.json --source from --id id --label verdict --json")
    assert code == 0, err
    assert {r["source"]: r["found"] for r in json.loads(out)} == {"b": 2, "a": 0}
    book = "--log audit --log-private-key log/private.pem"
    assert bezoar(f"bezoar incident open {finding} --report report/report.json --out inc {book}")[0] == 0
    assert bezoar("bezoar incident step inc contain --note shut")[0] == 0
    assert bezoar(f"bezoar incident step inc clean --note x {book}")[0] == 2
    assert bezoar(f"bezoar incident step inc trace --evidence m.csv {book}")[0] == 0
    assert bezoar("bezoar incident close inc --key k/private.pem --out pack.sig")[0] == 2
    assert bezoar(f"bezoar incident close inc --key k/private.pem --out pack.sig --leave-out drill {book}")[0] == 0
    assert bezoar("bezoar incident show inc --json")[0] == 0
    assert bezoar("bezoar verify inc --signature pack.sig --public-key k/public.pem")[0] == 0
    code, out, _ = bezoar("bezoar log verify audit --log-key audit/log.vkey --semantic --json")
    assert code == 0 and json.loads(out)["entries"] == 3
    assert bezoar("bezoar incident open bz-none --report report/report.json --out j")[0] == 2
    assert bezoar("bezoar trace nobody --bundles .")[0] == 2
    assert bezoar("bezoar export tables --bundles .")[0] == 2


def test_signing_with_a_scan_binds_its_verdict_to_this_content(bezoar, desk_folder):
    from bezoar import api

    (desk_folder / "m.csv").write_text("label,text\n" + "\n".join(f"{'spam' if i % 2 else 'ham'},message number {i} of many words" for i in range(40)) + "\n")
    (desk_folder / "report").mkdir()
    (desk_folder / "report/report.json").write_text(small_report(api.load(desk_folder / "m.csv").fingerprint)[1])
    bezoar("bezoar keygen --out k --no-passphrase")
    code, out, err = bezoar("bezoar sign m.csv --key k/private.pem --report report/report.json --json")
    assert code == 0 and json.loads(out)["verdict"] == "poisoned", err
    code, _, err = bezoar("bezoar gate m.csv --public-key k/public.pem --report report/report.json")
    assert code == 1 and "poisoned" in err
    assert bezoar("bezoar gate m.csv --public-key k/public.pem --report report/report.json --fail-on never")[0] == 0
    with (desk_folder / "m.csv").open("a") as f:
        f.write("ham,one more\n")
    code, _, err = bezoar("bezoar sign m.csv --key k/private.pem --report report/report.json --out x.sig")
    assert code == 2 and "other data" in err


def test_scan_clean_restore_and_accept_write_their_step_to_the_log(bezoar, desk_folder):
    from bezoar.provenance import entries
    from bezoar.provenance.tiles import Reader

    words = [f"w{i}" for i in range(40)]
    rows = [("spam" if i % 2 else "ham", " ".join(words[(i * k) % 40] for k in range(1, 9)) + (" cash" if i % 2 else " lunch")) for i in range(400)]
    rows += [("spam", f"{text} zebra quilt") for label, text in rows[:80:2]]
    (desk_folder / "mails.csv").write_text("verdict,text\n" + "".join(f"{a},{b} {i}\n" for i, (a, b) in enumerate(rows)))
    bezoar("bezoar keygen --out log --kind ed25519 --no-passphrase")
    bezoar("bezoar log new audit --origin example.org/audit --key log/private.pem")
    book = "--log audit --log-private-key log/private.pem"
    assert bezoar("bezoar scan mails.csv --label verdict --text text --out report --fail-on never --log audit -q")[0] == 2
    assert not (desk_folder / "report").exists()
    for text in (f"scan mails.csv --label verdict --text text --out report --fail-on never -q {book}",
                 f"accept report/report.json --because reviewed --by ann {book}",
                 f"clean mails.csv --label verdict --text text --report report/report.json --out safe --allow-more {book}",
                 f"restore safe --out again.csv {book}"):
        code, _, err = bezoar("bezoar " + text)
        assert code == 0, (text, err)
    code, out, err = bezoar("bezoar log verify audit --log-key audit/log.vkey --semantic --json")
    assert code == 0, err
    held = [entries.parse(Reader(desk_folder / "audit", 4).entry(i)) for i in range(4)]
    assert [e.kind for e in held] == ["scan", "note", "clean", "note"]
    said = json.loads(entries.payload_of(desk_folder / "audit", held[0]))
    report = json.loads((desk_folder / "report" / "report.json").read_text())
    assert held[0].subject == report["subject"]["fingerprint"] and said["verdict"] == report["verdict"] == "poisoned"
    assert held[3].subject == f"restore {held[2].subject}"


@pytest.mark.parametrize(("text", "sentence"), [("sign photos --key k/private.pem --days nan", "'nan' is no number of days"),
                                                ("sign photos --key k/private.pem --days 1e12", "'1e12' is no number of days"),
                                                ("policy new --name x --key a=k/public.pem --days -1", "'-1' is no number of days"),
                                                ("gate photos --public-key k/public.pem --run 'python \"x'",
                                                 "--run is no command: No closing quotation")])
def test_odd_numbers_of_days_and_unbalanced_commands_are_said(bezoar, text, sentence):
    bezoar("bezoar keygen --out k --no-passphrase")
    code, _, err = bezoar("bezoar " + text)
    assert code == 2 and sentence in err, err
