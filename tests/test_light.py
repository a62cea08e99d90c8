"""`bezoar list` is instant and works with numpy and the command-line library alone."""

import subprocess
import sys

HEAVY = ("scipy", "sklearn", "pandas", "pyarrow", "PIL", "torch", "jinja2", "jsonschema", "datasets", "polars", "onnxruntime")

CODE = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {HEAVY!r}:
            raise ImportError(name + ' is heavy')
sys.meta_path.insert(0, Refuse())
from bezoar.cli.main import run
run(['list'])
"""


def test_list_needs_no_heavy_library():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "association" in done.stdout


def test_import_is_light():
    code = "import sys, bezoar; print([m for m in sys.modules if m.split('.')[0] in %r])" % (HEAVY,)
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
