"""One way to call the command line within the test's own process."""

import pytest


@pytest.fixture
def said(capfd):
    """Calls `bezoar WORDS...` and gives back (exit code, stdout, stderr)."""
    from bezoar.cli.main import run

    def call(*words):
        with pytest.raises(SystemExit) as stopped:
            run([str(w) for w in words])
        return stopped.value.code, *capfd.readouterr()

    return call
