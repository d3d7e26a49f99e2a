"""The page that steps are written to: opened, walked and looked into in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import Function, Tensor, nn
from minicnn import functional as F
from minicnn.__main__ import main
from minicnn.models import LeNet
from minicnn.models.googlenet import Inception
from minicnn.models.resnet import BasicBlock
from minicnn.stepper import page as page_module
from minicnn.stepper.keep import MAPS
from minicnn.stepper.page.code import drawings
from minicnn.stepper.page.encode import thumbnail
from minicnn.stepper.page.export import Export
from minicnn.stepper.page.lines import FRAGMENTS

# Pictures of every lens, to be looked at by eye; not committed.
ARTEFACTS = Path(__file__).resolve().parent.parent / "build" / "page"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


# ---------------------------------------------------------------------------
# What is recorded
# ---------------------------------------------------------------------------
class AlexNetSmall(nn.Module):
    """AlexNet's kinds of layers, small: response norm, overlapping pools, groups, dropout."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.LocalResponseNorm(5, k=2),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(8, 12, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
            nn.Conv2d(12, 8, 3, padding=2, dilation=2), nn.ReLU(),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(8 * 16, 32), nn.ReLU(),
                                        nn.Linear(32, 10))  # fmt: skip

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class InceptionNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.mixed = Inception(6, 4, 3, 4, 2, 3, 3)
        self.fc = nn.Linear(14, 10)

    def forward(self, x):
        x = self.mixed(F.relu(self.stem(x)))
        return self.fc(F.adaptive_avg_pool2d(F.avg_pool2d(x, 3, 2, padding=1), 1).flatten(1))


class ResidualNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(6)
        self.block = BasicBlock(6, 6)
        self.fc = nn.Linear(6 * 16, 10)

    def forward(self, x):
        x = self.block(F.relu(self.bn(self.stem(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 4).flatten(1))


class Odds(nn.Module):
    """What the nets above lack: fusion, depthwise filters, arithmetic, moved elements."""

    def __init__(self):
        super().__init__()
        self.fused = nn.Conv2d(1, 6, 3, padding=1, activation="silu")
        self.depthwise = nn.Conv2d(6, 12, 3, padding=1, groups=6, bias=False)
        self.scale = nn.Parameter(np.linspace(0.5, 2, 12, dtype=np.float32).reshape(1, 12, 1, 1))

    def forward(self, x):
        x = self.fused(x)
        x = F.conv2d(x, Tensor(np.eye(6, dtype=np.float32)[:, :, None, None]), add=x,
                     activation="relu6")  # fmt: skip
        x = F.channel_shuffle(self.depthwise(x) * self.scale - 0.25, 3)
        x = F.sigmoid(F.hardswish(F.dropout2d(x, 0.3, seed=1))) / (F.tanh(x) + 2)
        total = x.sum(dim=(1, 2, 3), keepdim=True)
        return (x[:, :10, ::2] ** 2).permute(0, 1, 3, 2).mean(dim=(2, 3)) + total[:, :, 0, 0]


class Losses(nn.Module):
    """Transposed convolution, padding, adaptive maxima, softmax, a matrix product, other losses."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(2, 4, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.fc = nn.Linear(40, 10)
        self.mix = nn.Parameter(np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2))

    def forward(self, x):
        x = F.pad(F.pad(self.up(x), (2, 1, 1, 2), mode="reflect"), (0, 1, 1, 0), value=0.5)
        x = F.adaptive_max_pool2d(x, (5, 4)) @ self.mix
        scores = self.fc(x.flatten(1))
        classes, log_p = [3, 7], F.log_softmax(scores, dim=1)
        return (
            log_p + F.nll_loss(log_p, classes, reduction="none").reshape(2, 1)
            + F.mse_loss(F.softmax(x, dim=-1), np.zeros(x.shape, np.float32))
            + F.cross_entropy(scores, classes, label_smoothing=0.1)
            + F.margin_loss(F.hardsigmoid(scores), classes)
        )  # fmt: skip


class Decoder(nn.Module):
    """Leaky and smooth activations, unpooling, upsampling."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.prelu = nn.PReLU(4)
        self.prelu_of_all = nn.PReLU()
        self.fc = nn.Linear(140, 10)

    def forward(self, x):
        x = self.prelu_of_all(F.leaky_relu(self.prelu(self.conv(x)) - 0.5, 0.3))
        x = F.gelu(F.gelu(x * 3), "tanh")
        x = F.max_unpool2d(*F.max_pool2d(x, 3, stride=2, padding=1, return_indices=True), 2)
        x = x + F.max_unpool2d(*F.adaptive_max_pool2d(x, 3, return_indices=True), 2)
        x = F.interpolate(x, (4, 9), mode="bilinear")
        x = F.interpolate(x, scale_factor=1.5, mode="bilinear", align_corners=True)
        return self.fc(F.interpolate(x, (7, 5)).flatten(1))


class Pooled(nn.Module):
    def forward(self, x):
        return F.max_pool2d(F.relu(x), 2).flatten(1)


def wide():
    """Arrays too large for a recording that has no budget."""
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(8 * 24 * 24, 10))  # fmt: skip


NETS = {
    "lenet": (LeNet, (1, 1, 28, 28), False),
    "alexnet-small": (AlexNetSmall, (2, 3, 41, 41), True),
    "inception": (InceptionNet, (1, 1, 28, 28), False),
    "residual": (ResidualNet, (3, 1, 28, 28), True),
    "odds": (Odds, (2, 1, 6, 6), True),
    "losses": (Losses, (2, 2, 6, 6), True),
    "decoder": (Decoder, (2, 1, 6, 6), True),
}


OTHERS = {"pooled": (Pooled, (1, 2, 8, 8), False), "wide": (wide, (1, 3, 48, 48), False)}


def recorded(name, backend="numpy"):
    """The steps of a net on random images."""
    build, shape, training = {**NETS, **OTHERS}[name]
    minicnn.manual_seed(0)
    model = build().train(training)
    image = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    budget = {"budget": 0} if name == "wide" else {}
    with minicnn.use_backend(backend), minicnn.record(**budget) as steps:
        scores = model(Tensor(image, requires_grad=True))
        F.cross_entropy(scores, Tensor(np.arange(shape[0]) % 10)).backward()
    return steps


@pytest.fixture(scope="module")
def recordings():
    """name -> steps; each net is recorded once."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = recorded(name)
        return known[name]

    return of


@pytest.fixture(scope="session")
def chromium():
    """A headless browser."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)  # fmt: skip
    if path is None or find_spec("playwright") is None:
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, recordings, tmp_path):
    """open(name, ...) -> the page; afterwards: nothing was asked for, nothing went wrong."""
    contexts, problems = [], []

    def open_(name, width=1280, scheme="light", **options):
        path = tmp_path / f"{name}.html"
        steps = recordings(name)
        page_module.save(page_module.page(steps, name, **options), path)
        context = chromium.new_context(viewport={"width": width, "height": 800},
                                       color_scheme=scheme)  # fmt: skip
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(10_000)
        tab.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda r: None if r.url == path.as_uri() else problems.append(r.url))
        tab.goto(path.as_uri())
        return tab

    yield open_
    for context in contexts:
        context.close()
    assert problems == []


def press(tab, *keys):
    for key in keys:
        tab.keyboard.press(key)


def place(tab):
    return int(tab.evaluate("document.documentElement.dataset.step"))


def goto(tab, steps, label, direction="forward"):
    """Go to a step by keys, from the first one on."""
    press(tab, "Home")
    export = Export(steps, 1 << 40)
    wanted = [export.names.index(label), direction]
    number = export.order.index(wanted)
    press(tab, *["ArrowRight"] * number)
    assert place(tab) == number + 1


def numbers(tab, selector, attribute):
    values = tab.eval_on_selector_all(selector, f"all => all.map(e => e.dataset.{attribute})")
    return np.array([float(v) for v in values if v is not None])


def click_cell(tab, role, row, column, rows, columns, pad=(0, 0)):
    """Click a cell of an array's map."""
    box = tab.locator(f"[data-role={role}] .map").bounding_box()
    x = box["x"] + box["width"] * (column + pad[1] + 0.5) / (columns + 2 * pad[1])
    y = box["y"] + box["height"] * (row + pad[0] + 0.5) / (rows + 2 * pad[0])
    tab.mouse.click(x, y)


# ---------------------------------------------------------------------------
# Walking
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", NETS)
def test_to_the_end_and_back_with_the_keyboard(opened, name):
    tab = opened(name)
    total = tab.evaluate("stepper.model.steps.length")
    titles = set()
    for k in range(1, total + 1):
        assert place(tab) == k
        titles.add(tab.locator("h1").inner_text())
        press(tab, "ArrowRight")
    assert place(tab) == total and len(titles) == total
    press(tab, *["ArrowLeft"] * (total + 1))
    assert place(tab) == 1
    press(tab, "End", "Home")
    assert place(tab) == 1


def test_three_depths_and_a_flip_that_keeps_the_pick(opened):
    tab = opened("lenet")
    depth = lambda: tab.evaluate("document.documentElement.dataset.depth")  # noqa: E731
    assert depth() == "0"
    press(tab, "Enter", "ArrowRight", "ArrowDown")
    assert depth() == "1"
    before = tab.evaluate("stepper.model.pickOf(stepper.model.step.node.tensors.x)")
    press(tab, "Enter")
    assert depth() == "2" and tab.locator("[data-term]").get_attribute("data-term") == "0"
    press(tab, "ArrowRight", "ArrowRight", "ArrowLeft")
    assert tab.locator("[data-term]").get_attribute("data-term") == "1"
    press(tab, "Escape", "b")
    assert "backward" in tab.locator("h1").inner_text()
    assert tab.evaluate("stepper.model.pick") == before
    press(tab, "f", "Escape", "Escape", "Escape")
    assert depth() == "0" and "forward" in tab.locator("h1").inner_text()
    press(tab, "?")
    assert tab.locator("dialog[open]").count() == 1
    press(tab, "Escape")
    assert tab.locator("dialog[open]").count() == 0


def test_a_value_is_followed_through_the_net(opened, recordings):
    steps = recordings("lenet")
    tab = opened("lenet")
    press(tab, *["ArrowRight"] * 2)  # pool1
    click_cell(tab, "y", 4, 9, 14, 14)
    n, c, i, j = tab.evaluate("stepper.model.pick")
    assert (i, j) == (4, 9)
    press(tab, "Escape", "ArrowLeft")  # relu1: the winner of that window
    pick = tab.evaluate("stepper.model.pick")
    x = steps[1].output[n, c, 8:10, 18:20]
    u, v = np.unravel_index(x.argmax(), (2, 2))
    assert pick == [n, c, 8 + u, 18 + v]
    press(tab, "ArrowLeft")  # conv1: ReLU moves nothing
    assert tab.evaluate("stepper.model.pick") == pick


# ---------------------------------------------------------------------------
# Sums, beside NumPy's
# ---------------------------------------------------------------------------
def test_products_and_sum_of_a_clicked_pixel(opened, recordings):
    steps = recordings("lenet")
    tab = opened("lenet")
    click_cell(tab, "y", 17, 15, 28, 28)
    _, o, i, j = tab.evaluate("stepper.model.pick")
    assert (i, j) == (17, 15)
    x, w, b, _ = steps[0].inputs.values()
    window = np.pad(x[0, 0], 2)[i : i + 5, j : j + 5]
    products = window * w[o, 0]
    np.testing.assert_array_equal(numbers(tab, "[data-grid=products] .cell", "value"),
                                  products.ravel())  # fmt: skip
    total = np.add.accumulate(products.ravel())[-1] + b[o]
    assert numbers(tab, "[data-sum]", "sum")[0] == total
    recorded_ = steps[0].output[0, o, i, j]
    assert numbers(tab, "[data-recorded]", "recorded")[0] == recorded_
    np.testing.assert_allclose(total, recorded_, rtol=1e-5)
    press(tab, "Enter", *["ArrowRight"] * 7)
    assert numbers(tab, "[data-running]", "running")[0] == np.add.accumulate(products.ravel())[7]


def test_terms_of_a_clicked_pixel_in_backward(opened, recordings):
    steps = recordings("lenet")
    tab = opened("lenet")
    press(tab, "End")
    click_cell(tab, "dx", 16, 18, 28, 28, pad=(2, 2))
    assert tab.evaluate("stepper.model.pick") == [0, 0, 16, 18]
    back = steps.goto("conv1", "backward")
    dy, w = back.dy, back.inputs["w"]
    terms = [dy[0, o, i, j] * w[o, 0, 18 - i, 20 - j]
             for o in range(6) for i in range(14, 19) for j in range(16, 21)]  # fmt: skip
    assert numbers(tab, "[data-sum]", "sum")[0] == np.add.accumulate(np.array(terms))[-1]
    outer = tab.evaluate("stepper.outer(stepper.lens())")
    np.testing.assert_array_equal(numbers(tab, "[data-grid=products] .cell", "value"),
                                  np.array(terms)[outer * 25 : outer * 25 + 25])  # fmt: skip
    np.testing.assert_allclose(sum(terms), back.grads["x"][0, 0, 16, 18], rtol=1e-4)
    press(tab, "d")  # dw of a weight: gathered from all positions
    o, c, u, v = tab.evaluate("stepper.model.pick")
    x = np.pad(back.inputs["x"][0, c], 2)[u : u + 28, v : v + 28]
    expected = np.add.accumulate((dy[0, o] * x).ravel())[-1]
    assert numbers(tab, "[data-sum]", "sum")[0] == expected
    np.testing.assert_allclose(expected, back.grads["w"][o, c, u, v], rtol=1e-3, atol=1e-6)


def test_mean_and_variance_are_two_rows_to_click(opened, recordings):
    steps = recordings("residual")
    tab = opened("residual")
    press(tab, "ArrowRight")
    x = steps[0].output[:, 4]
    for row, expected in enumerate((x.mean(), x.var())):
        click_cell(tab, "y", row, 4, 2, 6)
        assert tab.evaluate("stepper.model.pick") == [row, 4]
        np.testing.assert_allclose(numbers(tab, "[data-sum]", "sum")[0], expected, 1e-5, 1e-7)
    press(tab, "Escape", "ArrowRight")  # what it normalizes: the same channel
    assert tab.evaluate("stepper.model.pick[1]") == 4
    press(tab, "ArrowLeft")
    tab.evaluate("stepper.chooseImage(2)")
    assert tab.evaluate("stepper.model.pick[0]") < 2


def test_a_prelus_weight_gathers_in_the_browser_too(opened, recordings):
    steps = recordings("decoder")
    tab = opened("decoder")
    goto(tab, steps, "prelu", "backward")
    press(tab, "d")
    (c,) = tab.evaluate("stepper.model.pick")
    back = steps.goto("prelu", "backward")
    gathered = back.dy[:, c] * np.minimum(back.inputs["x"][:, c], 0)
    assert numbers(tab, "[data-sum]", "sum")[0] == np.add.accumulate(gathered.ravel())[-1]
    np.testing.assert_allclose(gathered.sum(), back.grads["a"][c], rtol=1e-4)


def test_gradients_of_all_users_are_added_at_a_fork(opened, recordings):
    steps = recordings("inception")
    tab = opened("inception")
    goto(tab, steps, "relu", "backward")
    assert tab.locator(".shares figure").count() == 4
    pick = tuple(tab.evaluate("stepper.model.pickOf(stepper.model.step.node.output)"))
    relu = steps.goto("relu", "backward")
    np.testing.assert_allclose(numbers(tab, "[data-fork]", "fork")[0], relu.dy[pick], rtol=1e-5)


LOOK = """([letters, picks]) => {
  const found = [];
  for (const node of stepper.model.nodes) {
    for (const letter of ["y", ...(stepper.model.gradients(node))]) {
      const array = letter === "y" ? node.y : node.back.grads[letter];
      for (const at of picks) {
        const index = array.shape.map((n, k) => Math.floor(at[k % at.length] * n));
        const lens = stepper.open(node.place, letter, index);
        found.push([`${node.name} ${node.operation} ${letter}`, lens && lens.agreement,
          lens && lens.kind]);
      }
    }
  }
  return found;
}"""


@pytest.mark.parametrize("name", NETS)
def test_every_lens_gives_what_was_recorded(opened, name):
    tab = opened(name)
    picks = np.random.default_rng(2).random((12, 4)).tolist()
    found = tab.evaluate(LOOK, [[], picks])
    assert len(found) > 200
    assert [what for what, agreement, _ in found if agreement is None] == []
    wrong = [(what, agreement) for what, agreement, _ in found
             if agreement and "in another way" in agreement]  # fmt: skip
    assert wrong == []


@pytest.mark.parametrize("name", NETS)
def test_the_terminals_lenses_give_what_was_recorded(recordings, name):
    rng, opened = np.random.default_rng(3), 0
    for step in recordings(name):
        letters = [None] if step.direction == "forward" else [
            k for k, g in step.grads.items() if g is not None]  # fmt: skip
        for of in letters:
            shape = step.target(of)[1].shape
            for _ in range(4):
                lens = step.into(*(int(rng.integers(n)) for n in shape), of=of)
                assert "another way" not in lens.agreement, (step.title, lens)
                assert repr(lens) and lens._repr_html_()
                opened += 1
    assert opened > 100


# ---------------------------------------------------------------------------
# How it looks
# ---------------------------------------------------------------------------
OVERFLOW = """() => {
  const wide = document.documentElement.scrollWidth - window.innerWidth;
  const out = [...document.querySelectorAll("#head *, #arrays *, #lens *, #top *")].filter((e) => {
    const box = e.getBoundingClientRect();
    return box.width && (box.right > window.innerWidth + 1 || box.left < -1)
      && !e.closest(".listing, svg");
  }).map((e) => `${e.tagName}.${e.className}: ${e.textContent.slice(0, 30)}`);
  return [wide, out.slice(0, 5)];
}"""


@pytest.mark.parametrize("name, width, scheme", [
    ("lenet", 1280, "light"), ("lenet", 400, "light"), ("residual", 1280, "dark"),
    ("residual", 400, "dark"), ("inception", 1280, "light"), ("inception", 400, "dark"),
    ("losses", 1280, "light"), ("losses", 400, "dark"), ("alexnet-small", 1280, "dark"),
    ("decoder", 1280, "light"), ("decoder", 400, "dark"),
])  # fmt: skip
def test_a_picture_of_each_lens_without_overflow(opened, name, width, scheme):
    tab = opened(name, width, scheme)
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    seen = set()
    for k, (node, direction) in enumerate(tab.evaluate(
        "stepper.model.steps.map(s => [s.node.operation, s.direction])"
    )):  # fmt: skip
        if (node, direction) in seen:
            continue
        seen.add((node, direction))
        tab.evaluate(f"stepper.goto({k})")
        for tab_name in ("lens", "im2col", "code")[: 3 if node == "Conv2d" else 1]:
            tab.evaluate(f"stepper.chooseTab('{tab_name}')")
            assert tab.evaluate(OVERFLOW) == [0, []], (node, direction, tab_name)
            shot = f"{name}-{width}-{scheme}-{node}-{direction}-{tab_name}.png"
            tab.screenshot(path=ARTEFACTS / shot, full_page=width < 600)
        tab.evaluate("stepper.chooseTab('lens')")


def test_buttons_and_maps_have_names_for_screen_readers(opened):
    tab = opened("residual")
    nameless = tab.evaluate("""() => [...document.querySelectorAll("button, select, [role=img], "
      + "[role=slider]")].filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim()))
      .map((e) => e.outerHTML.slice(0, 90))""")
    assert nameless == []


def test_the_code_of_three_drawings(opened):
    tab = opened("lenet")
    press(tab, "c")
    for button, line in (("loops", "for n, o, i, j in indices"), ("NumPy", "im2col(xg"),
                         ("CUDA", "__global__")):  # fmt: skip
        tab.locator("#lens .segments button", has_text=button).click()
        assert line in tab.locator(".listing").inner_text()


def test_the_code_marks_the_line_that_the_walk_is_at(opened):
    tab = opened("lenet")
    press(tab, "c", "Enter", "Enter", *["ArrowRight"] * 7)
    lens = "stepper.lens()"
    lines = {"loops": "total += x[n, first + c, h, k] * w[o, c, u, v]", "NumPy": "im2col(xg",
             "CUDA": "total += pixel[c] * cell[c]"}  # fmt: skip
    for button, line in lines.items():
        tab.locator("#lens .segments button", has_text=button).click()
        assert line in tab.locator(".line.current").inner_text()
        number = tab.locator(".line.current i").inner_text()
        meaning = tab.locator(".meaning").inner_text()
        assert meaning.startswith(f"line {number}, ") and "row 1, column 2" in meaning
        product = tab.evaluate(f"{lens}.products[7]")
        assert f"{product:.4g}".rstrip("0") in meaning
    tab.locator("#lens .segments button", has_text="loops").click()
    press(tab, "Escape")
    assert "z[n, o, i, j] = total" in tab.locator(".line.current").inner_text()
    press(tab, "b")
    assert "dx[n, first + c, h, k] += g * w" in tab.locator(".line.current").inner_text()
    press(tab, "d")
    assert "dw[o, c, u, v] += g * x" in tab.locator(".line.current").inner_text()
    assert tab.evaluate(OVERFLOW) == [0, []]
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=ARTEFACTS / "code.png")


@pytest.mark.parametrize("operation", FRAGMENTS)
def test_a_marked_line_is_there_once(operation):
    cls = next(c for c in all_operations() if c.__name__ == operation)
    for kind, drawn in drawings(cls, operation, True).items():
        wanted = FRAGMENTS[operation].get(kind, {})
        assert set(drawn["marks"]) == set(wanted)
        for fragments in wanted.values():
            for fragment in fragments:
                lines = [line for line in drawn["text"].split("\n") if fragment in line]
                assert len(lines) == 1, (kind, fragment, lines)
    assert set(FRAGMENTS[operation]) <= set(drawings(cls, operation, True))


def all_operations():
    """The readable drawings of all operations."""
    found, left = set(), [Function]
    while left:
        cls = left.pop()
        found |= {cls} if cls.__module__.startswith("minicnn.ops.") else set()
        left += cls.__subclasses__()
    return found


def test_threads_of_a_kernel(compiler, opened):
    tab = opened("pooled", threads=True)
    press(tab, "t")
    (launch,) = tab.evaluate("stepper.launchesOf(stepper.model.step.node)"
                             ".filter(l => l.direction === 'forward')")  # fmt: skip
    assert launch["kernel"] == "relu_forward"
    assert [b["block"] for b in launch["blocks"]] == [[0, 0, 0]]  # 128 numbers: one block
    (block,) = launch["blocks"]
    (read,) = [a for a in block["accesses"] if a["kind"] == "reads"]
    assert read["index"] == read["lanes"] == list(range(32))
    assert read["cost"] == read["least"] == 4  # 32 neighbouring floats: four sectors
    assert tab.locator(".sector").count() == 4 and tab.locator(".sector i.hit").count() == 32
    threads = block["threads"]
    last = launch["block"][0] - 1
    assert [t["thread"][0] for t in threads] == list(dict.fromkeys([0, 1, 31, 32, last]))
    assert f"{len(threads)} threads of this block's {last + 1}" in tab.locator("#lens").inner_text()
    if threads[1]["walk"]:  # this machine can step
        tab.get_by_role("group", name="Thread").get_by_text("(31,0,0)").click()
        assert "Thread (31,0,0)" in tab.locator("#lens").inner_text()
        texts = [tab.locator("[data-walk]").inner_text()]
        for _ in threads[2]["walk"][1:]:
            tab.get_by_label("Next line").click()
            texts.append(tab.locator("[data-walk]").inner_text())
        assert any("reads x[0, 1, 7, 1]" in text for text in texts), texts  # number 31, NHWC
        assert any("writes y" in text for text in texts), texts
    press(tab, "ArrowRight")  # pooling: neighbours read cells that lie apart
    assert "max_pool_forward" in tab.locator("#lens").inner_text()
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=ARTEFACTS / "threads.png")


# ---------------------------------------------------------------------------
# Over the budget
# ---------------------------------------------------------------------------
def test_over_the_budget_three_elements_are_kept_and_a_click_elsewhere_says_so(opened, recordings):
    steps = recordings("alexnet-small")
    whole = page_module.page(steps, "whole")
    small = page_module.page(steps, "small", budget=60_000)
    assert len(small) < len(whole)
    tab = opened("alexnet-small", budget=60_000)
    kept = tab.evaluate("stepper.model.step.node.lenses.y.map(lens => lens.index)")
    assert 1 <= len(kept) <= 3
    for index in kept:
        tab.evaluate(f"stepper.choose({json.dumps(index)})")
        lens = steps[0].into(*index)
        assert numbers(tab, "[data-sum]", "sum")[0] == lens.sum
        assert numbers(tab, "[data-recorded]", "recorded")[0] == lens.recorded
    click_cell(tab, "y", 0, 0, 19, 19)
    assert tab.locator("#lens").inner_text().count("was not kept in full") == 1
    tab.locator(".link").first.click()
    assert tab.evaluate("stepper.model.pick") == kept[0]


def test_a_recording_over_its_budget_opens_what_it_kept(opened, recordings):
    steps = recordings("wide")
    tab = opened("wide")
    for k, (step, letter) in enumerate([(steps[0], "y"), (steps[1], "y"), (steps[2], "y")]):
        assert place(tab) == k + 1 and tab.locator("#arrays").inner_text().count("8 bits") >= 1
        for index in step.lenses[letter]:
            tab.evaluate(f"stepper.choose({json.dumps(list(index))})")
            lens = step.into(*index)
            assert numbers(tab, "[data-sum]", "sum")[0] == lens.sum
            assert numbers(tab, "[data-recorded]", "recorded")[0] == lens.recorded
            if step.operation == "Conv2d":  # the window is framed, though x is a thumbnail
                top, left = (k - 1 for k in index[2:])
                (mark,) = tab.evaluate("stepper.lens().marks(0).x")
                assert mark["rect"] == [top, left, 3, 3]
        press(tab, "Escape", "ArrowRight")
    press(tab, "End")
    assert "8 bits" in tab.locator("[data-role=dy]").inner_text()
    index = next(iter(steps[-1].lenses["x"]))
    tab.evaluate(f"stepper.choose({json.dumps(list(index))})")
    assert numbers(tab, "[data-sum]", "sum")[0] == steps[-1].into(*index).sum
    tab.evaluate("stepper.choose([0, 0, 0, 0])")
    assert "was not kept in full" in tab.locator("#lens").inner_text()
    press(tab, "Home")
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=ARTEFACTS / "bounded.png")


def test_a_thumbnail_keeps_the_range_and_at_most_16_maps():
    array = np.random.default_rng(0).standard_normal((2, 40, 100, 80)).astype(np.float32)
    small = thumbnail(array, wanted=[(1, 33, 5, 5)])
    assert len(small["maps"]) == MAPS and [1, 33] in small["maps"]
    assert (small["low"], small["high"]) == (array.min(), array.max())
    assert small["size"] == [34, 40]


# ---------------------------------------------------------------------------
# The file
# ---------------------------------------------------------------------------
def test_to_html_writes_one_file_that_names_no_other(recordings, tmp_path):
    path = recordings("lenet").to_html(tmp_path / "lenet.html", title="A <b> & a digit")
    text = path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]
    assert "A &lt;b&gt; &amp; a digit" in text
    assert "{{" not in text.split("<script type")[0]
    for outside in (" src=", "href=", "@import", "url("):
        assert outside not in text.split("<script type")[0]
    data = text.split('id="data">')[1].split("</script>")[0]
    assert json.loads(data)["format"] == "minicnn-steps/1"


def test_show_puts_the_page_into_a_frame(recordings):
    frame = recordings("lenet").show(height=500)
    html = frame._repr_html_()
    assert html.startswith("<iframe srcdoc=") and html.count("<iframe") == 1
    assert "height:500px" in html and 'sandbox="allow-scripts"' in html
    assert len(repr(frame)) < 100


def test_the_command_writes_a_page(tmp_path, capsys):
    path = tmp_path / "lenet.html"
    assert main(["step", "lenet", "--index", "7", "--page", str(path)]) == 0
    assert f"open {path} in a browser" in capsys.readouterr().out
    assert "test image 7 of digits" in path.read_text(encoding="utf-8")


def test_the_frame_works_inside_another_page(chromium, recordings, tmp_path):
    notebook = tmp_path / "notebook.html"
    notebook.write_text(recordings("lenet").show()._repr_html_(), encoding="utf-8")
    tab = chromium.new_page()
    tab.goto(notebook.as_uri())
    frame = tab.frame_locator("iframe")
    assert frame.locator("h1").inner_text() == "conv1: Conv2d, forward"
    frame.get_by_label("Next step").click()
    assert frame.locator("h1").inner_text() == "relu1, forward"
    tab.close()


def luminance(colour):
    channels = [int(colour[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return np.dot(linear, (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("block", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(block):
    rules = re.findall(r":root[^{]*\{([^}]*)\}", page_module.read("page.css"))[block]
    colours = {name: value * (2 if len(value) == 3 else 1)
               for name, value in re.findall(r"--([\w-]+): #(\w+)", rules)}  # fmt: skip
    pairs = [(ink, paper) for ink in ("ink", "quiet", "forward", "backward")
             for paper in ("page", "panel", "soft")]  # fmt: skip
    pairs += [("on-hue", "forward"), ("on-hue", "backward"), ("ink", "forward-tint"),
              ("ink", "backward-tint")]  # fmt: skip
    for ink, paper in pairs:
        light, dark = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)


class Mine(Function):
    def forward(self, x):
        return x * 3

    def backward(self, dy):
        return dy * 3


def test_an_operation_of_ones_own_has_its_arrays_and_its_code(tmp_path):
    with minicnn.record() as steps:
        Mine.apply(Tensor([1.0, 2.0], requires_grad=True)).sum().backward()
    data = Export(steps, 1 << 30).data()
    assert data["nodes"][0]["ours"] is False
    assert "return x * 3" in page_module.sources(steps)["Mine"]["numpy"]["text"]


def test_wrong_uses_say_what_to_do(tmp_path):
    with minicnn.record() as nothing:
        pass
    with pytest.raises(RuntimeError, match=r"to_html: nothing was recorded.*with block"):
        nothing.to_html(tmp_path / "x.html")
    w = Tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    with minicnn.record() as late:
        loss.backward()
    with pytest.raises(RuntimeError, match="only backward steps"):
        late.to_html(tmp_path / "x.html")
    with minicnn.record() as steps:
        (w * w).sum().backward()
    w.assign_([3.0, 4.0])
    with pytest.raises(RuntimeError, match="changed in place.*record again"):
        steps.to_html(tmp_path / "x.html")
    with minicnn.record() as steps:
        loss = (w * w).sum()
        loss.backward()
        with pytest.raises(RuntimeError, match="already walked"):
            loss.backward()
    assert list(tmp_path.iterdir()) == []
