// Where the values of a channel lie, before and after normalization.
import { h } from "./dom.js";
import { four } from "./numbers.js";

const [BINS, WIDTH, HEIGHT] = [40, 260, 90];

export function histograms(list) {
  const values = list.flatMap(({values: some}) => some).filter(Number.isFinite);
  const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)],
    [Infinity, -Infinity]);
  const span = high - low || 1;
  return h("div", {class: "histograms"}, list.map(({caption: [name, note], values: some, mark}) => {
    const counts = new Array(BINS).fill(0);
    for (const value of some) counts[Math.min(BINS - 1, Math.floor(((value - low) / span) * BINS))] += 1;
    const top = Math.max(...counts);
    const at = (value) => ((value - low) / span) * WIDTH;
    const mean = some.reduce((a, b) => a + b, 0) / some.length;
    const deviation = Math.sqrt(some.reduce((a, b) => a + (b - mean) ** 2, 0) / some.length);
    return h("figure", {},
      h("div", {class: "label"}, h("b", {}, name), ` ${note}`),
      h("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "histogram",
        "aria-label": `${name} ${note}: mean ${four(mean)}, standard deviation ${four(deviation)}`},
      counts.map((count, k) => count > 0 && h("rect", {class: "bin", x: (k * WIDTH) / BINS,
        width: WIDTH / BINS - 0.8, y: HEIGHT - (count / top) * (HEIGHT - 6),
        height: (count / top) * (HEIGHT - 6)})),
      low < 0 && high > 0 && h("line", {class: "axis", x1: at(0), x2: at(0), y1: 0, y2: HEIGHT}),
      h("line", {class: "pickline", x1: at(mark), x2: at(mark), y1: 0, y2: HEIGHT})),
      h("div", {class: "below"}, `mean ${four(mean)}, deviation ${four(deviation)}`));
  }), h("p", {class: "below whole"}, `both from ${four(low)} to ${four(high)}; the line is the picked value`));
}
