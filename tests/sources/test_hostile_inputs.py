"""Every hostile case: one clear sentence with cause and cure, no traceback, nothing run, nothing lost."""

import resource

import pytest

from bezoar import api
from bezoar.core.ability import Reading
from bezoar.core.errors import ExitCode, LimitExceeded, Refused, UnreadableInput
from bezoar.testing import hostile

ERRORS = {hostile.REFUSED: Refused, hostile.UNREADABLE: UnreadableInput, hostile.LIMIT: LimitExceeded}


@pytest.mark.parametrize("name", sorted(hostile.CASES))
def test_case(name, tmp_path):
    case = hostile.CASES[name](tmp_path / "case")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if case.outcome in ERRORS:
        with pytest.raises(ERRORS[case.outcome]) as caught:
            api.load(case.path, reading=Reading())
        error = caught.value
        assert case.outcome == hostile.REFUSED or not isinstance(error, Refused)
        assert case.says in str(error), str(error)
        assert error.advice, "says what to do"
        assert "\n" not in str(error)
        assert len(str(error)) < 600
        assert error.exit_code == (ExitCode.INCOMPLETE if case.outcome == hostile.LIMIT else ExitCode.WRONG_USE)
    else:
        data = api.load(case.path, reading=Reading())
        assert len(data) >= 1
        if case.outcome == hostile.LISTED:
            assert len(data) == 6
            assert any(case.says in reason or case.says in who for who, reason in data.unreadable), data.unreadable
        else:
            assert case.says in " ".join(data.notes), data.notes
    assert not hostile.marker(tmp_path / "case").exists(), "a pickle was run"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 900_000, "kB"


def test_there_are_many_cases():
    assert len(hostile.CASES) >= 50
