"""Makes the README's pictures: one digit's way through LeNet, and the page that walks it.

    python tutorials/pictures.py

Everything in them is computed: LeNet is trained on the embedded digits (some 10 seconds), one test
digit is recorded, and the lens on one number of conv1's output gives the window, the filter and the
products. tutorials/pictures/lenet.png is drawn; page.png is what a browser shows of the page, and
needs Chromium and `pip install .[browser]` (without them it stays as it is).
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import ConnectionPatch, Rectangle

import minicnn
from minicnn import Tensor, optim
from minicnn import functional as F
from minicnn.data import DataLoader, load
from minicnn.models import LeNet
from minicnn.training import Trainer
from minicnn.training.schedules import cosine

INK, QUIET, ACCENT = "#1f2328", "#6b7280", "#0f766e"
SIGNED = LinearSegmentedColormap.from_list("signed", ["#2166ac", "#f7f7f5", "#c2570c"])


def trained_lenet():
    """LeNet after ten epochs of the embedded digits, and its share of test digits right."""
    minicnn.manual_seed(0)
    model = LeNet()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    trainer = Trainer(model, optimizer, schedule=cosine, progress=False)
    batches = DataLoader(load("digits", "train", size=28), shuffle=True)
    test = DataLoader(load("digits", "test", size=28), batch_size=360)
    return model, trainer.fit(batches, test, epochs=10)[-1]["val_accuracy"]


def image(ax, array, cmap=SIGNED, numbers=False, frame="#d6d6d2"):
    """One map, coloured symmetrically about 0, with its values if it is small."""
    limit = np.abs(array).max() or 1
    ax.imshow(array, cmap, vmin=-limit, vmax=limit)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set(color=frame, linewidth=0.8)
    if numbers:
        for (i, j), value in np.ndenumerate(array):
            text = f"{value:.2f}".replace("0.", ".", 1) if value else "0"
            ink = "white" if abs(value) > 0.6 * limit else INK
            ax.text(j, i, text, ha="center", va="center", fontsize=7, color=ink)


def most_doubtful(model, digits):
    """The place of the test digit that is read rightly with the least probability."""
    scores = model(Tensor(digits.images / np.float32(255))).numpy()
    right = scores.argmax(1) == digits.labels
    return int(np.where(right, probabilities(scores).max(1), 1).argmin())


def probabilities(scores):
    """Softmax of each row."""
    p = np.exp(scores - scores.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def draw(model, accuracy, digit):
    """The figure: a row of maps above, one number's products below."""
    with minicnn.record() as steps:
        scores = model(Tensor(digit)).numpy()
    inner = steps.goto("conv1").output[0, :, 2:-2, 2:-2]  # windows that lie inside the image
    channel, i, j = np.unravel_index(inner.argmax(), inner.shape) + np.array([0, 2, 2])
    lens = steps.into(0, channel, i, j)

    figure = plt.figure(figsize=(11, 5.4), dpi=110)
    widths = [1.5, 1.15, 1.15, 1.73, 1.73, 1.5]
    top = figure.add_gridspec(1, 6, left=0.02, right=0.985, top=0.88, bottom=0.56,
                              width_ratios=widths, wspace=0.16)  # fmt: skip
    first = figure.add_subplot(top[0])
    image(first, digit[0, 0])
    first.set_title("image\n1 × 28 × 28", fontsize=9, color=QUIET)
    maps = {}
    for place, name, columns in (
        (1, "conv1", 2), (2, "pool1", 2), (3, "conv2", 4), (4, "pool2", 4),
    ):  # fmt: skip
        values = steps.goto(name).output[0]
        title = name.replace("pool", "ReLU, pool")
        inner = top[place].subgridspec(len(values) // columns, columns, wspace=0.06, hspace=0.06)
        axes = [figure.add_subplot(cell) for cell in inner]
        for k, ax in enumerate(axes):
            image(ax, values[k])
        maps[name] = axes
        C, H, W = values.shape
        box = top[place].get_position(figure)
        figure.text((box.x0 + box.x1) / 2, 0.885, f"{title}\n{C} × {H} × {W}", ha="center",
                    va="bottom", fontsize=9, color=QUIET)  # fmt: skip
    bars = figure.add_subplot(top[5])
    (p,) = probabilities(scores)
    bars.barh(range(10), p, color=[ACCENT if k == p.argmax() else "#c9cdd2" for k in range(10)])
    bars.set(yticks=range(10), xticks=[], xlim=(0, 1.3 * p.max()))
    bars.invert_yaxis()
    bars.tick_params(length=0, labelsize=8, colors=QUIET)
    bars.spines[:].set_visible(False)
    for k in np.flatnonzero(p >= 0.01):
        bars.text(p[k] + 0.02, k, f"{p[k]:.0%}", va="center", fontsize=8, color=QUIET)
    bars.set_title("fc3, as probabilities", fontsize=9, color=QUIET)

    bottom = figure.add_gridspec(1, 4, left=0.1, right=0.985, top=0.40, bottom=0.07,
                                 width_ratios=[1, 1, 1, 1.5], wspace=0.3)  # fmt: skip
    window, weights, products = lens.window[0], lens.weights[0], lens.products[0]
    panels = [("window", window), ("filter", weights), ("products", products)]
    axes = [figure.add_subplot(bottom[k]) for k in range(3)]
    for ax, (name, values) in zip(axes, panels, strict=True):
        image(ax, values, numbers=True)
        ax.set_title(name, fontsize=9, color=QUIET)
    for ax, sign in ((axes[1], "×"), (axes[2], "=")):
        ax.text(-0.15, 0.5, sign, transform=ax.transAxes, ha="center", va="center", fontsize=15)
    total = figure.add_subplot(bottom[3])
    total.axis("off")
    total.text(0, 0.92, f"y[{channel}, {i}, {j}]", fontsize=12, family="monospace", color=INK)
    rows = [
        ("sum of the 25 products", lens.sum - lens.bias),
        ("bias", lens.bias),
        ("together", lens.sum),
        ("recorded by conv1", lens.recorded),
    ]
    for k, (name, value) in enumerate(rows):
        ink = ACCENT if k == 3 else INK
        total.text(0, 0.72 - 0.19 * k, name, fontsize=9.5, color=QUIET)
        total.text(1, 0.72 - 0.19 * k, f"{float(value):.6f}", fontsize=10, family="monospace",
                   ha="right", color=ink)  # fmt: skip

    mark = Rectangle((j - 2.5, i - 2.5), 5, 5, fill=False, ec=ACCENT, lw=1.6)
    first.add_patch(mark)
    dot = Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, ec=ACCENT, lw=1.6)
    maps["conv1"][channel].add_patch(dot)
    for source, target in (((j - 2.5, i + 2.5), (0, 1)), ((j + 2.5, i + 2.5), (1, 1))):
        line = ConnectionPatch(
            source, target, "data", "axes fraction", axesA=first, axesB=axes[0], color=ACCENT,
            lw=0.8, alpha=0.6,
        )  # fmt: skip
        figure.add_artist(line)
    title = f"A digit in doubt, on its way through a LeNet that reads {accuracy:.1%} of 360 rightly"
    figure.text(0.02, 0.965, title, fontsize=11, color=INK)
    return figure


def photograph(model, digit, label, target):
    """The page in a headless browser, inside one number of conv1; False if there is no browser."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None or find_spec("playwright") is None:
        return False
    from playwright.sync_api import sync_playwright

    with minicnn.use_backend("loops"), minicnn.record() as steps:
        scores = model(Tensor(digit, requires_grad=True))
        F.cross_entropy(scores, Tensor(label)).backward()
    with TemporaryDirectory() as folder, sync_playwright() as play:
        page = steps.to_html(Path(folder) / "lenet.html", title="A digit in doubt, through LeNet")
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 760}, color_scheme="light")
        tab.goto(page.as_uri())
        for key in ("Enter", "Enter", *["ArrowRight"] * 13):
            tab.keyboard.press(key)
        tab.screenshot(path=target)
        browser.close()
    return True


def main():
    model, accuracy = trained_lenet()
    digits = load("digits", "test", size=28)
    k = most_doubtful(model, digits)
    figure = draw(model, accuracy, digits.images[k : k + 1] / np.float32(255))
    target = Path(__file__).with_name("pictures") / "lenet.png"
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, facecolor="white", metadata={"Software": None})
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")
    page = target.with_name("page.png")
    digit = digits.images[k : k + 1] / np.float32(255)
    if photograph(model, digit, digits.labels[k : k + 1], page):
        print(f"{page}: {page.stat().st_size / 1000:.0f} kB")
    else:
        print("page.png was left as it is: there is no Chromium here, or no playwright")


if __name__ == "__main__":
    main()
