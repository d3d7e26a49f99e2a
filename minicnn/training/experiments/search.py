"""A search for an architecture: a recurrent controller learns to propose good cells.

The controller, an LSTM, writes a cell word by word. A net of such cells is trained for a moment;
its accuracy on images held back is the controller's reward R, and REINFORCE turns it into a
gradient: the words w of a cell become likelier the more R exceeds what is usual, b:

    gradient of  - sum over t of (R - b) log p(w[t] | w[1..t-1]; controller)

Zoph and Le, "Neural architecture search with reinforcement learning", 2017; the cells are those of
Zoph, Vasudevan, Shlens, Le, 2018, made small. Williams, "Simple statistical gradient-following
algorithms for connectionist reinforcement learning", 1992. Random search, which draws every word
evenly, is what a search must beat: Li and Talwalkar, 2019.
"""

from __future__ import annotations

from math import prod

import numpy as np

from minicnn import Tensor, nn, optim
from minicnn import functional as F
from minicnn.data import load
from minicnn.nn import init
from minicnn.training.experiments.drawing import colors, finish
from minicnn.training.experiments.experiment import Claim, Column, Experiment
from minicnn.training.schedules import cosine
from minicnn.training.trainer import Trainer

NODES = 3
HELD_BACK = 437  # of the 1,437 digits to learn from
PROPOSALS, BATCH = 100, 5  # in a search; the controller learns after every five
LAST = 30


# ---------------------------------------------------------------------------
# The space: a cell has three nodes, each an operation on the cell's input or an earlier node
# ---------------------------------------------------------------------------
def _conv(channels, kernel, groups=1):
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=groups, bias=False)


OPERATIONS = {
    "identity": lambda C: nn.Sequential(),
    "max pool 3x3": lambda C: nn.MaxPool2d(3, 1, padding=1),
    "conv 1x1": lambda C: nn.Sequential(_conv(C, 1), nn.BatchNorm2d(C), nn.ReLU()),
    "separable 3x3": lambda C: nn.Sequential(
        _conv(C, 3, C), _conv(C, 1), nn.BatchNorm2d(C), nn.ReLU()
    ),
    "conv 3x3": lambda C: nn.Sequential(_conv(C, 3), nn.BatchNorm2d(C), nn.ReLU()),
}
# The words of a cell: for each node from where, then what.
CHOICES = [count for node in range(NODES) for count in (node + 1, len(OPERATIONS))]


class Cell(nn.Module):
    """The sum of all nodes that no other node takes.

    Parameters
    ----------
    words : sequence of int
        For each node from where (0: the cell's input, k: the k-th node), then which operation.
    channels : int
    """

    def __init__(self, words, channels):
        super().__init__()
        self.sources = words[::2]
        makers = list(OPERATIONS.values())
        self.nodes = nn.Sequential(*(makers[word](channels) for word in words[1::2]))

    def forward(self, x):
        values = [x]
        for node, source in zip(self.nodes, self.sources):
            values.append(node(values[source]))
        loose = [v for k, v in enumerate(values) if k and k not in self.sources]
        return sum(loose[1:], loose[0])


def net(words):
    """Digits 8x8 -> conv8 -> cell -> pool -> conv16 -> cell -> mean -> 10 classes."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), Cell(words, 8), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 1), nn.ReLU(), Cell(words, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 10),
    )  # fmt: skip


def describe(words) -> str:
    """A cell in words: "1: conv 3x3 of 0, 2: identity of 1, ..."."""
    names = list(OPERATIONS)
    nodes = enumerate(zip(words[::2], words[1::2]), 1)
    return ", ".join(f"{k}: {names[what]} of {source}" for k, (source, what) in nodes)


# ---------------------------------------------------------------------------
# What a cell is worth
# ---------------------------------------------------------------------------
def accuracy(work, words, learn, test, epochs) -> float:
    """Of a net of these cells after a short training, always from the same first weights."""
    init.manual_seed(0)
    model = net(words)
    optimizer = optim.Adam(model.parameters(), 0.02)
    trainer = Trainer(model, optimizer, schedule=cosine, progress=False)
    loader = work.loader(learn, 50, seed=0)
    test_loader = work.loader(test, 500, training=False)
    return trainer.fit(loader, test_loader, work.epochs(epochs))[-1]["val_accuracy"]


def reward(work, words) -> float:
    """Accuracy on 437 digits of the training half after two epochs of the 1,000 others.

    A cell that was proposed before, in any of the experiment's searches, is not trained again.
    """
    digits = load("digits", "train")
    learn, held_back = work.few(digits[HELD_BACK:]), work.few(digits[:HELD_BACK])
    key = "-".join(map(str, words))
    return work.once(key, lambda: accuracy(work, words, learn, held_back, 2), shared=True)


# ---------------------------------------------------------------------------
# Who proposes
# ---------------------------------------------------------------------------
class Controller(nn.Module):
    """An LSTM that writes cells: the word before goes in, scores of all words for here come out."""

    def __init__(self, hidden=32):
        super().__init__()
        self.cell = nn.LSTMCell(max(CHOICES) + 1, hidden)
        small = lambda w: init.normal_(w, std=0.01)  # noqa: E731 - the first words are drawn evenly
        self.heads = nn.Sequential(*(nn.Linear(hidden, n, initializer=small) for n in CHOICES))

    def forward(self, choose):
        """`choose(t, scores)` gives word t of each cell (N,); returns all scores, in order."""
        words, state, scores = np.full(BATCH, max(CHOICES)), None, []
        for t, head in enumerate(self.heads):
            before = np.eye(max(CHOICES) + 1, dtype=np.float32)[words]
            state = self.cell(Tensor(before), state)
            scores.append(head(state[0]))
            words = choose(t, scores[-1])
        return scores


class Learner:
    """The controller with REINFORCE: proposes cells, and learns from what they are worth."""

    def __init__(self, seed):
        init.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.controller = Controller()
        self.optimizer = optim.Adam(self.controller.parameters(), 0.02)
        self.usual = None  # b

    def propose(self) -> list[list[int]]:
        """Cells, drawn as the controller's probabilities say."""
        drawn = []

        def choose(t, scores):
            p = F.softmax(scores, 1).numpy().astype(np.float64).cumsum(axis=1)
            drawn.append((self.rng.random((BATCH, 1)) * p[:, -1:] > p).sum(axis=1))
            return drawn[-1]

        self.scores = self.controller(choose)
        self.words = drawn
        return np.transpose(drawn).tolist()

    def learn(self, rewards) -> None:
        """One step of REINFORCE, with a little entropy to keep it curious."""
        rewards = np.array(rewards)
        self.usual = rewards.mean() if self.usual is None else self.usual
        advantage = Tensor(((rewards - self.usual) / 0.1).astype(np.float32))
        self.usual += 0.2 * (rewards.mean() - self.usual)
        loss = 0.0
        for scores, words in zip(self.scores, self.words):
            log_p = F.log_softmax(scores, 1)
            entropy = -(F.softmax(scores, 1) * log_p).sum() / BATCH
            surprise = F.nll_loss(log_p, words, reduction="none")
            loss = loss + (advantage * surprise).sum() / BATCH - 0.02 * entropy
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


class Guesser:
    """Random search: every word is drawn evenly, and nothing is learnt."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def propose(self):
        return np.transpose([self.rng.integers(0, n, BATCH) for n in CHOICES]).tolist()

    def learn(self, rewards):
        pass


# ---------------------------------------------------------------------------
# The experiment
# ---------------------------------------------------------------------------
def search(kind):
    """A variant: so many proposals, then the best one is trained longer, on all, and tested."""

    def run(work):
        proposer, cells, rewards = kind(work.seed), [], []
        count = 2 * BATCH if work.quick else PROPOSALS
        while len(cells) < count:
            proposed = proposer.propose()
            worth = [reward(work, words) for words in proposed]
            proposer.learn(worth)
            cells, rewards = cells + proposed, rewards + worth
            best = int(np.argmax(rewards))
            work.watch(
                len(cells) / count,
                f"{len(cells)} of {count} cells, best {rewards[best]:.2%}, last five "
                f"{np.mean(worth):.2%}",
                whole=len(cells) % 25 == 0,
            )
        return {
            "rewards": rewards, "cell": describe(cells[best]), "best": rewards[best],
            "mean": float(np.mean(rewards)), "last": float(np.mean(rewards[-LAST:])),
            "different": len({tuple(words) for words in cells}),
            "test": _test(work, cells[best]),
        }  # fmt: skip

    return run


def _test(work, words) -> float:
    learn, test = work.data("digits", "train"), work.data("digits", "test")
    key = "test-" + "-".join(map(str, words))
    return work.once(key, lambda: accuracy(work, words, learn, test, 20), shared=True)


CONTROLLER, RANDOM = "controller", "random search"


def claims(results):
    def against(measure, text):
        a, b = (float(results.mean(v, measure)) for v in (CONTROLLER, RANDOM))
        wins = sum(x > y for x, y in zip(*(results.values(v, measure)
                                           for v in (CONTROLLER, RANDOM))))  # fmt: skip
        seeds = len(results.seeds)
        return Claim(
            f"{text}: {a:.2%} against {b:.2%} (higher with {wins} of {seeds} seeds)", a > b
        )

    return [
        against("last", f"the controller's last {LAST} proposals are better than random ones"),
        against("mean", f"all its {PROPOSALS} proposals together are"),
        against("best", "the best cell it has found is better than random search's, by its reward"),
        against("test", "and on the test digits, after a longer training"),
    ]


def draw(results, figure):
    left, right = figure.subplots(1, 2)
    for variant, color in colors(results).items():
        rewards = np.array(results.values(variant, "rewards"))
        x = np.arange(1, rewards.shape[1] + 1)
        ends = x[BATCH - 1 :: BATCH]
        groups = rewards.reshape(len(rewards), -1, BATCH).mean(axis=2)
        left.plot(ends, groups.mean(axis=0), color=color, label=variant)
        left.fill_between(ends, groups.min(axis=0), groups.max(axis=0), color=color, alpha=0.12)
        best = np.maximum.accumulate(rewards, axis=1)
        right.plot(x, best.mean(axis=0), color=color, label=variant)
        right.fill_between(x, best.min(axis=0), best.max(axis=0), color=color, alpha=0.12)
    finish(left, "reward, means of five proposals", "proposal")
    finish(right, "best reward so far", "proposal")
    left.legend(frameon=False, fontsize=8, loc="lower right")


EXPERIMENTS = [
    Experiment(
        "nas",
        "A controller learns to design nets",
        "Does an LSTM that is rewarded for good cells (REINFORCE) find better ones than chance, "
        "with as many tries?",
        f"Digits of 8x8 pixels. A cell has {NODES} nodes of {len(OPERATIONS)} kinds, each on the "
        f"cell's input or an earlier node: {prod(CHOICES)} cells. Reward: accuracy on "
        f"{HELD_BACK} digits held back, after two epochs of 1,000 others (Adam, lr 0.02 along a "
        f"cosine, batch 50), from the same first weights for all cells. Each search proposes "
        f"{PROPOSALS} cells; the best is trained for 20 epochs on all 1,437 training digits, and "
        "tested on the 360 test digits, which the search never sees. Lines: means over the seeds; "
        "bands: from the least to the most.",
        {CONTROLLER: search(Learner), RANDOM: search(Guesser)},
        (0, 1, 2), claims,
        (
            Column(f"reward, last {LAST}", "last"),
            Column("reward, all", "mean"),
            Column("best reward", "best"),
            Column("its test accuracy", "test"),
            Column("different cells", "different", "{:.0f}"),
        ),
        draw,
    ),
]  # fmt: skip
