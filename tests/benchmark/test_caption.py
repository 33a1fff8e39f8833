"""What stands under a table: how it was made, all of it."""

from prostate_alm.benchmark.budgets import SMOKE
from prostate_alm.benchmark.studies import Method, Outcome
from prostate_alm.commands.benchmark import _caption


def test_commits_and_machines_of_the_search_are_named_too(spec_factory, record_factory):
    def made(member, commit, machine):
        record = record_factory(spec_factory(member, seed=3))
        return record.model_copy(update={"commit": commit, "machine": machine})

    final, trial = made(1, "f" * 40, "new"), made(0, "a" * 40, "old")
    caption = _caption({(100, "BCE"): Outcome(Method("BCE", {}), {}, [], [final], (), [trial])}, SMOKE, "typed")
    assert caption.commit == f"{'a' * 40}, {'f' * 40}"
    assert caption.machine == "new, old"
    assert caption.seeds == "seed 3, members 0 to 1"  # of the members alone
    assert caption.command == "typed"
