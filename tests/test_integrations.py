"""The pre-commit hook and the action run what they say, on a file that passes and one that does not."""

import shlex
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"


def test_the_hook_fails_on_an_unreadable_dataset_and_passes_a_small_one(tmp_path):
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (tmp_path / "bad.csv").write_bytes(b"a,b\n1,2\n3\n\x00")
    done = subprocess.run([*shlex.split(hook["entry"]), "bad.csv"], cwd=tmp_path, env={"PATH": PATH}, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr


def test_the_action_passes_hostile_inputs_as_data(tmp_path):
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    step = action["runs"]["steps"][1]
    assert "${{" not in step["run"], "inputs reach the shell through the environment only"
    done = subprocess.run(["bash", "-c", step["run"]], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env={"PATH": PATH, "DATA": "$(touch pwned)", "OUT": "out", "FAIL_ON": "suspicious", "ARGUMENTS": "--label x"})
    assert done.returncode == 2 and not (tmp_path / "pwned").exists()
