"""What was cut off: put right by a command that writes, named by one that does not."""

from __future__ import annotations

from tagflow.cli.show import note
from tagflow.sources.lock import holder
from tagflow.sources.record import CUT_OFF
from tagflow.sources.recover import recover
from tagflow.sources.store import Store


def recovered(store: Store) -> None:
    """Put right what an earlier command that was cut off left behind, and say so."""
    for done in recover(store):
        run = done.record.run
        if done.record.state == "rolled-back":
            note(f"run {run} had been cut off; its files are as they were before it")
        else:
            note(f"the undo of run {run} had been cut off; it is finished")
        for path in done.left:
            note(f"{path} was edited since and is left alone")


def cut_off(store: Store) -> None:
    """Say that a run was cut off; a command that does not write leaves it at that."""
    at_work = holder(store.folder)
    for record in store.runs():
        if record.state in CUT_OFF:
            who = f" (or still goes on: {at_work})" if at_work else ""
            note(f"run {record.run} was cut off{who}; the next command that writes puts its files right")
