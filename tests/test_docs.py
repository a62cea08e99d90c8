"""Documentation that cannot rot: code blocks run, reference pages are what the code says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)


def test_reference_pages_are_what_the_code_says():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "make_docs.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_detector_of_the_contributing_guide_keeps_the_contract():
    (source,) = blocks("CONTRIBUTING.md", "python")
    import types

    module = types.ModuleType("strangers_of_the_guide")
    sys.modules[module.__name__] = module
    exec(compile(source, "CONTRIBUTING.md", "exec"), module.__dict__)
    from bezoar.testing.contract import checks

    for _, check in checks(module.Strangers):
        check()


PYTHON_PAGES = [p.relative_to(ROOT).as_posix() for p in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
                if blocks(p.relative_to(ROOT), "python")]


@pytest.mark.parametrize("page", PYTHON_PAGES)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), {"__name__": "__main__"})


def test_no_file_is_longer_than_400_lines():
    long = {str(p.relative_to(ROOT)): n for folder in ("src", "benchmarks", "scripts") for p in (ROOT / folder).rglob("*.py")
            if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long
    assert not [p for p in (ROOT / "src").rglob("*.py") if p.stem in ("utils", "helpers", "common", "misc")]


def test_links_between_pages_lead_somewhere():
    broken = []
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert not broken
