"""Training: the loop over batches and epochs, and what it writes down.

    from minicnn import models, optim
    from minicnn.data import DataLoader, load
    from minicnn.training import Trainer, cosine

    model = models.build("lenet")
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.05, momentum=0.9), schedule=cosine)
    train = DataLoader(load("digits", "train", size=28), batch_size=64, shuffle=True)
    test = DataLoader(load("digits", "test", size=28), batch_size=500)
    history = trainer.fit(train, test, epochs=10)

`minicnn.training.transfer` has what it takes to go on from a net that has learnt something else.
"""

from minicnn.training.callbacks import Callback
from minicnn.training.metrics import Evaluation, Running, accuracy, confusion_matrix
from minicnn.training.schedules import constant, cosine
from minicnn.training.trainer import DivergenceError, Trainer

__all__ = [
    "Callback",
    "DivergenceError",
    "Evaluation",
    "Running",
    "Trainer",
    "accuracy",
    "confusion_matrix",
    "constant",
    "cosine",
]
