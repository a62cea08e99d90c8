"""Every ability that the registry finds keeps the contract; a golden list says what must be found."""

import json
from pathlib import Path

import pytest

from bezoar import registry
from bezoar.testing.contract import checks

GOLDEN = Path(__file__).parent / "golden_abilities.json"
ALL = [(f"{cls.shelf}/{cls.info.name}/{name}", check) for cls in registry.abilities() for name, check in checks(cls)]


@pytest.mark.parametrize("check", [c for _, c in ALL], ids=[n for n, _ in ALL])
def test_contract(check):
    check()


def test_nothing_dropped_out():
    there = {shelf: sorted(registry.shelf(shelf)) for shelf in registry.SHELVES}
    assert there == json.loads(GOLDEN.read_text()), "update tests/golden_abilities.json when an ability is added or removed on purpose"
