"""What a person sees of a training on a terminal."""

from __future__ import annotations

from minicnn.training.callbacks import Callback


class Progress(Callback):
    """A progress bar while an epoch runs (on a terminal only), and a line after it."""

    last = True

    def __init__(self):
        self.bar = None

    def before_epoch(self, trainer):
        from tqdm import tqdm

        self.bar = tqdm(
            desc=f"epoch {trainer.epoch + 1}/{trainer.epochs}", total=trainer.batches,
            initial=trainer.batch, leave=False, unit="batch", dynamic_ncols=True,
            disable=None,  # unless stderr is a terminal
        )  # fmt: skip

    def after_step(self, trainer):
        if self.bar.disable:
            return
        running = trainer.running
        self.bar.set_postfix_str(
            f"loss {running.loss:.4f}, accuracy {running.accuracy:.2%}, "
            f"{running.images_per_second:,.0f} images/s"
        )
        self.bar.update()
        if self.bar.n == trainer.batches:
            self.bar.close()

    def after_epoch(self, trainer):
        epochs, last = trainer.epochs, trainer.history[-1]
        print(
            f"epoch {trainer.epoch:{len(str(epochs))}}/{epochs}: "
            f"loss {last['train_loss']:.4f}, accuracy {last['train_accuracy']:.2%}; "
            f"validation loss {last['val_loss']:.4f}, accuracy {last['val_accuracy']:.2%}; "
            f"{last['seconds']:.1f} s, {last['images_per_second']:,.0f} images/s",
            flush=True,
        )

    def close(self, trainer):
        if self.bar is not None:
            self.bar.close()
