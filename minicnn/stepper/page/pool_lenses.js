// Lenses on pooling.
import { geometry, winner } from "./follow.js";
import { sumLens } from "./sums.js";
import { NOBODY, shifted, times, windowsOver } from "./windows.js";

function maxPool(node, [n, c, i, j]) {
  const {kernel, stride, padding, dilation} = geometry(node);
  const {x} = node.inputs;
  const [, , H, W] = x.shape;
  const [, , h, w] = winner(node, [n, c, i, j]);
  const [top, left] = [i * stride[0] - padding[0], j * stride[1] - padding[1]];
  const at = ([u, v]) => [n, c, top + u * dilation[0], left + v * dilation[1]];
  const inside = ([, , r, k]) => r >= 0 && k >= 0 && r < H && k < W;
  const window = [];
  for (let u = 0; u < kernel[0]; u++) {
    for (let v = 0; v < kernel[1]; v++) {
      window.push(inside(at([u, v])) ? x.at(at([u, v])) : -Infinity);
    }
  }
  return {
    kind: "choice", sizes: [...kernel], window, sum: x.at([n, c, h, w]), rounding: 0,
    winner: [(h - top) / dilation[0], (w - left) / dilation[1]],
    formula: `the largest of x[${n},${c},${shifted(times(dilation[0], "u"), top)},`
      + `${shifted(times(dilation[1], "v"), left)}]`,
    labels: [() => ["window", `of x[${n},${c}]`]],
    empty: (place) => !inside(at(place)),
    note: `The winner is x[${n},${c},${h},${w}]: it alone gets the gradient.`,
    marks: () => ({x: [{lead: [n, c], rect: [top, left, (kernel[0] - 1) * dilation[0] + 1,
      (kernel[1] - 1) * dilation[1] + 1]}, {lead: [n, c], rect: [h, w, 1, 1], win: true}]}),
  };
}

function maxPoolGradient(node, [n, c, p, q]) {
  const {kernel, stride, padding, dilation} = geometry(node);
  const {dy} = node.back;
  const [rows, columns] = [0, 1].map((k) => windowsOver([p, q][k], stride[k], padding[k],
    (kernel[k] - 1) * dilation[k] + 1, dy.shape[k + 2]));
  const at = ([i, j]) => [n, c, rows[0] + i, columns[0] + j];
  const won = (place) => {
    const [, , h, w] = winner(node, at(place));
    return h === p && w === q;
  };
  const sizes = [rows[1] - rows[0], columns[1] - columns[0]];
  const lens = sumLens(node.back.grads.x, sizes, "ij", (place) => dy.at(at(place)),
    (place) => Number(won(place)), {
      formula: `Σ dy[${n},${c},i,j] · (1 where x[${n},${c},${p},${q}] won, else 0)`,
      starts: [rows[0], columns[0]], note: sizes[0] * sizes[1] ? "" : NOBODY,
      labels: [() => [`dy[${n},${c}]`, "windows"], () => ["won", "there"]],
      marks: () => ({dy: [{lead: [n, c], rect: [rows[0], columns[0], ...sizes]}]}),
      places: (place) => ({dy: {lead: [n, c], cell: at(place).slice(2)}}),
      describe: (place) => `window (${at(place).slice(2)})`,
    });
  if (lens.window.length && !lens.weights.some((k) => k)) {
    lens.note = "This pixel is the largest of no window, so it gets no gradient.";
  }
  return lens;
}

function averagePool(node, [n, c, i, j]) {
  const {kernel, stride, padding} = geometry(node);
  const {x} = node.inputs;
  const [, , H, W] = x.shape;
  const [top, left] = [i * stride[0] - padding[0], j * stride[1] - padding[1]];
  const inside = ([u, v]) => top + u >= 0 && left + v >= 0 && top + u < H && left + v < W;
  const divisor = node.extra.divisors.at([i, j]);
  return sumLens(node.y, [...kernel], "uv",
    ([u, v]) => (inside([u, v]) ? x.at([n, c, top + u, left + v]) : null), null, {
      divisor, formula: `1/${divisor} Σ x[${n},${c},${shifted("u", top)},${shifted("v", left)}]`,
      labels: [() => ["window", `of x[${n},${c}]`]], empty: (place) => !inside(place),
      marks: () => ({x: [{lead: [n, c], rect: [top, left, ...kernel]}]}),
      places: ([u, v]) => ({x: {lead: [n, c], cell: [top + u, left + v]}}),
      describe: ([u, v]) => `row ${u}, column ${v} of the window`,
    });
}

function averagePoolGradient(node, [n, c, p, q]) {
  const {kernel, stride, padding} = geometry(node);
  const {dy} = node.back;
  const [rows, columns] = [0, 1].map((k) => windowsOver(
    [p, q][k], stride[k], padding[k], kernel[k], dy.shape[k + 2]));
  const sizes = [rows[1] - rows[0], columns[1] - columns[0]];
  const at = ([i, j]) => [rows[0] + i, columns[0] + j];
  return sumLens(node.back.grads.x, sizes, "ij", (place) => dy.at([n, c, ...at(place)]), null, {
    divide: (place) => node.extra.divisors.at(at(place)),
    formula: `Σ dy[${n},${c},i,j] / D[i,j]`, starts: [rows[0], columns[0]],
    labels: [() => [`dy[${n},${c}]`, "windows"]], note: sizes[0] * sizes[1] ? "" : NOBODY,
    marks: () => ({dy: [{lead: [n, c], rect: [rows[0], columns[0], ...sizes]}]}),
    places: (place) => ({dy: {lead: [n, c], cell: at(place)}}),
    describe: (place) => `window (${at(place)})`,
  });
}

// Windows that divide the image evenly: along an axis, window i covers these pixels.
const evenly = (i, size, count) => [Math.floor((i * size) / count),
  Math.ceil(((i + 1) * size) / count)];

function adaptiveAverage(node, [n, c, i, j]) {
  const {x, y = node.y} = node.inputs;
  const [rows, columns] = [evenly(i, x.shape[2], y.shape[2]), evenly(j, x.shape[3], y.shape[3])];
  const sizes = [rows[1] - rows[0], columns[1] - columns[0]];
  const at = ([u, v]) => [n, c, rows[0] + u, columns[0] + v];
  return sumLens(node.y, sizes, "uv", (place) => x.at(at(place)), null, {
    divisor: sizes[0] * sizes[1],
    formula: `1/${sizes[0] * sizes[1]} Σ x[${n},${c},${shifted("u", rows[0])},${shifted("v", columns[0])}]`,
    labels: [() => ["window", `of x[${n},${c}]`]],
    marks: () => ({x: [{lead: [n, c], rect: [rows[0], columns[0], ...sizes]}]}),
    places: (place) => ({x: {lead: [n, c], cell: at(place).slice(2)}}),
    describe: ([u, v]) => `row ${u}, column ${v} of the window`,
  });
}

// The windows that see a pixel: along each axis the first, and how many.
function adaptiveHits(node, pixel) {
  return [0, 1].map((k) => {
    const [size, count] = [node.inputs.x.shape[k + 2], node.back.dy.shape[k + 2]];
    const all = Array.from({length: count}, (_, i) => i).filter((i) => {
      const [start, end] = evenly(i, size, count);
      return pixel[k] >= start && pixel[k] < end;
    });
    return [all[0], all.length];
  });
}

function adaptiveAverageGradient(node, [n, c, p, q]) {
  const {x} = node.inputs;
  const {dy} = node.back;
  const hits = adaptiveHits(node, [p, q]);
  const at = ([i, j]) => [hits[0][0] + i, hits[1][0] + j];
  const cells = (place) => at(place).map((i, k) => {
    const [start, end] = evenly(i, x.shape[k + 2], dy.shape[k + 2]);
    return end - start;
  });
  return sumLens(node.back.grads.x, hits.map((hit) => hit[1]), "ij",
    (place) => dy.at([n, c, ...at(place)]), null, {
      divide: (place) => cells(place)[0] * cells(place)[1],
      formula: `Σ dy[${n},${c},i,j] / (cells of window (i,j))`, starts: [hits[0][0], hits[1][0]],
      labels: [() => [`dy[${n},${c}]`, "windows"]],
      marks: () => ({dy: [{lead: [n, c], rect: [hits[0][0], hits[1][0], hits[0][1], hits[1][1]]}]}),
      places: (place) => ({dy: {lead: [n, c], cell: at(place)}}),
      describe: (place) => `window (${at(place)})`,
    });
}

// The first largest number of an evenly divided window: {rows, columns, h, w}.
function adaptiveWinner(node, [n, c, i, j]) {
  const {x} = node.inputs;
  const [rows, columns] = [evenly(i, x.shape[2], node.y.shape[2]),
    evenly(j, x.shape[3], node.y.shape[3])];
  let [best, at] = [-Infinity, [rows[0], columns[0]]];
  for (let h = rows[0]; h < rows[1]; h++) {
    for (let w = columns[0]; w < columns[1]; w++) {
      const value = x.at([n, c, h, w]);
      if (value > best) [best, at] = [value, [h, w]];
    }
  }
  return {rows, columns, h: at[0], w: at[1]};
}

function adaptiveMax(node, index) {
  const [n, c] = index;
  const {x} = node.inputs;
  const {rows, columns, h, w} = adaptiveWinner(node, index);
  const sizes = [rows[1] - rows[0], columns[1] - columns[0]];
  const window = [];
  for (let u = 0; u < sizes[0]; u++) {
    for (let v = 0; v < sizes[1]; v++) window.push(x.at([n, c, rows[0] + u, columns[0] + v]));
  }
  return {
    kind: "choice", sizes, window, sum: x.at([n, c, h, w]), rounding: 0,
    winner: [h - rows[0], w - columns[0]],
    formula: `the largest of x[${n},${c},${shifted("u", rows[0])},${shifted("v", columns[0])}]`,
    labels: [() => ["window", `of x[${n},${c}]`]],
    note: `The winner is x[${n},${c},${h},${w}]: it alone gets the gradient.`,
    marks: () => ({x: [{lead: [n, c], rect: [rows[0], columns[0], ...sizes]},
      {lead: [n, c], rect: [h, w, 1, 1], win: true}]}),
  };
}

function adaptiveMaxGradient(node, [n, c, p, q]) {
  const {dy} = node.back;
  const hits = adaptiveHits(node, [p, q]);
  const at = ([i, j]) => [n, c, hits[0][0] + i, hits[1][0] + j];
  const won = (place) => {
    const {h, w} = adaptiveWinner(node, at(place));
    return Number(h === p && w === q);
  };
  const sizes = hits.map((hit) => hit[1]);
  const lens = sumLens(node.back.grads.x, sizes, "ij", (place) => dy.at(at(place)), won, {
    formula: `Σ dy[${n},${c},i,j] · (1 where x[${n},${c},${p},${q}] won, else 0)`,
    starts: [hits[0][0], hits[1][0]], labels: [() => [`dy[${n},${c}]`, "windows"], () => ["won", "there"]],
    marks: () => ({dy: [{lead: [n, c], rect: [hits[0][0], hits[1][0], ...sizes]}]}),
    places: (place) => ({dy: {lead: [n, c], cell: at(place).slice(2)}}),
    describe: (place) => `window (${at(place).slice(2)})`,
  });
  if (!lens.weights.some((k) => k)) {
    lens.note = "This pixel is the largest of no window, so it gets no gradient.";
  }
  return lens;
}

// The place h W + w of a pooling's winner.
function poolIndices(node, index) {
  const lens = (node.settings.kernel ? maxPool : adaptiveMax)(node, index);
  const W = node.inputs.x.shape[3];
  const [h, w] = lens.marks().x[1].rect;
  return {...lens, sum: h * W + w, chosen: "its place",
    formula: `${W} h + w = ${W} · ${h} + ${w}, with (h, w) the place of ${lens.formula}`,
    note: "Counted row by row: what unpooling puts a value back by."};
}

export const POOL_LENSES = {
  PoolIndices: {y: poolIndices},
  MaxPool2d: {y: maxPool, x: maxPoolGradient},
  AvgPool2d: {y: averagePool, x: averagePoolGradient},
  AdaptiveAvgPool2d: {y: adaptiveAverage, x: adaptiveAverageGradient},
  AdaptiveMaxPool2d: {y: adaptiveMax, x: adaptiveMaxGradient},
};
