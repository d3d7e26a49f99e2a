"""The state of a trainer: all that the rest of a training depends on, beside its settings."""

from __future__ import annotations

from minicnn.nn import init
from minicnn.training.metrics import Running

COUNTS = ("epoch", "batch", "step", "epochs", "lr_factor", "stop")


def capture(trainer) -> dict:
    """Weights, memories, random numbers, place in the data, history: numbers and arrays by name."""
    return {
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "base_lrs": trainer.base_lrs,
        "random": init.get_rng_state(),
        "data": _data(trainer),
        "callbacks": [[type(c).__name__, c.state_dict()] for c in trainer.callbacks if c.state],
        "history": trainer.history,
        "running": trainer.running.state_dict(),
        **{name: getattr(trainer, name) for name in COUNTS},
    }


def restore(trainer, state: dict) -> None:
    """Set a trainer to a captured state: its next `fit` does the rest of that one.

    Raises
    ------
    ValueError
        If model, optimiser or callbacks are of another kind than they were then; nothing is
        changed.
    """
    own = [callback for callback in trainer.callbacks if callback.state]
    kinds, saved = [type(c).__name__ for c in own], [name for name, _ in state["callbacks"]]
    if kinds != saved:
        raise ValueError(
            f"restore: the trainer was saved with the callbacks {saved}, but has {kinds}; "
            "give it the same ones"
        )
    before = trainer.optimizer.state_dict()
    trainer.optimizer.load_state_dict(state["optimizer"])
    try:
        trainer.model.load_state_dict(state["model"])
    except ValueError:
        trainer.optimizer.load_state_dict(before)
        raise
    trainer.base_lrs = list(state["base_lrs"])
    trainer.set_lr(1.0)
    init.set_rng_state(state["random"])
    for callback, (_, its) in zip(own, state["callbacks"]):
        callback.load_state_dict(its)
    trainer.history[:] = state["history"]
    trainer.running = Running()
    trainer.running.load_state_dict(state["running"])
    vars(trainer).update({name: state[name] for name in COUNTS})
    trainer.resumed_data, trainer.resumed = state["data"], True


def _data(trainer) -> dict:
    """Which batches the epoch under way is made of, or the next one if none is."""
    loader, data = trainer.train_loader, {"batches": trainer.batches}
    for name in ("batch_size", "shuffle", "seed"):
        if hasattr(loader, name):
            data[name] = getattr(loader, name)
    if hasattr(loader, "epoch"):  # it counts up when a walk begins
        data["epoch"] = loader.epoch - (trainer.batch > 0)
    return data


def go_on_with(trainer) -> None:
    """Put the trainer's loader where the checkpoint's was."""
    then, now = dict(trainer.resumed_data), _data(trainer)
    epoch = then.pop("epoch", None)
    now.pop("epoch", None)
    if then != now:
        raise ValueError(
            f"fit: the checkpoint was written with a train_loader of {then}, but this one has "
            f"{now}; the batches would be others"
        )
    if epoch is not None:
        trainer.train_loader.epoch = epoch
