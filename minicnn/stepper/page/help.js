// The keys, in a dialog.
import { byId, fill, h } from "./dom.js";

const KEYS = [
  ["← →", "a step back, on; inside a number: move the pick, or go term by term"],
  ["↑ ↓", "inside a number: move the pick"],
  ["[ ]", "the channel before, the next one"],
  ["Enter", "look inside: from the pass to a number, from the number to its terms"],
  ["Esc", "out again"],
  ["f b", "the same operation forward, backward"],
  ["d", "in backward: the gradient of another input"],
  ["l c m t", "lens, code, im2col, threads"],
  ["Home End", "the first step, the last one"],
  ["g", "go to an operation"],
  ["p", "play, pause"],
  ["?", "these keys"],
];

export function openHelp() {
  const dialog = byId("help");
  fill(dialog, h("h2", {}, "Keys"),
    h("dl", {}, KEYS.map(([keys, what]) => [
      h("dt", {}, keys.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, what)])),
    h("p", {class: "note"}, "Every number can be clicked. Blue is negative, orange positive, and zero "
      + "fades into the page; each array has a scale of its own. Two digits in cells, four in sums, "
      + "eight on hover: 0 is exactly zero, .00 merely small."),
    h("button", {type: "button", class: "button", autofocus: true, onclick: () => dialog.close()},
      "Close"));
  dialog.showModal();
}
