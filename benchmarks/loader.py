"""Does the loader keep the step busy? The share of an epoch that goes by waiting for batches.

    python -m benchmarks.loader

CIFAR-10 with its usual augmentation (padding, random crop, mirror), batch 128, for a small net: the
course's experiment V. With 0 workers batches are made when they are asked for; with more, threads
make them while the net is busy. The least waiting of the epochs after the first counts.
"""

from __future__ import annotations

import argparse

from minicnn import manual_seed, optim
from minicnn.data import DataLoader, load
from minicnn.training import Trainer
from minicnn.training.experiments.cifar import PLANS, build
from minicnn.training.logs import WaitingTime
from minicnn.training.recipes import preparation


def measure(images: int, workers: int, epochs: int) -> dict:
    """The epoch that waited least: its share of waiting, and images a second."""
    manual_seed(0)
    data, prepared = load("cifar10")[:images], preparation("cifar10")
    settings = prepared.loader(training=True) | {"workers": workers}
    train = DataLoader(data, 128, shuffle=True, **settings)
    test = DataLoader(data[:128], 128, **prepared.loader(training=False))
    model = build(PLANS["V"])
    optimizer = optim.SGD(model.parameters(), 0.02, momentum=0.9)
    trainer = Trainer(model, optimizer, progress=False, callbacks=[WaitingTime()])
    return min(trainer.fit(train, test, epochs)[1:], key=lambda entry: entry["waiting"])


def main(argv=None) -> None:
    """Measure, and print a line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=6_400, help="in an epoch (default: 6400)")
    parser.add_argument("--epochs", type=int, default=3, help="of each, 2 or more (default: 3)")
    options = parser.parse_args(argv)
    for workers in (0, 1, 2):
        best = measure(options.images, workers, options.epochs)
        print(f"{workers} workers: {best['waiting']:.1%} waiting, "
              f"{best['images_per_second']:,.0f} images/s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
