// Lenses on convolution, pooling and dense layers: sums over windows and over rows.
//
// A lens's `marks` say which rectangles of which arrays it looks at: role -> [{lead, rect}] with
// rect = [row, column, height, width]; `places(place)` says which cell of each a term is.
import { geometry, isConv, winner } from "./follow.js";
import { indexed } from "./numbers.js";
import { sumLens } from "./sums.js";

const NOBODY = "no window looks at this pixel, so it has no influence";

// "u", "15+u" or "u-2".
export function shifted(letter, offset) {
  if (offset === 0) return letter;
  return offset > 0 ? `${offset}+${letter}` : `${letter}${offset}`;
}

const times = (count, letter) => (count === 1 ? letter : `${count}${letter}`);

// What the gradient before a fused activation is called, and where it is.
export function beforeActivation(node) {
  return node.activation ? {d: "dz", dz: node.back.dz} : {d: "dy", dz: node.back.dy};
}

// The end of a fused operation: what is added and which activation follows.
function ending(node, index) {
  const {add} = node.inputs;
  if (!add && !node.activation) return {};
  return {activation: node.activation, added: add ? add.at(index) : null};
}

function fusedFormula(node, index, formula) {
  const sum = node.inputs.add ? `${formula} + ${indexed("add", index)}` : formula;
  return node.activation ? `${node.activation}(${sum})` : sum;
}

// -- convolution ---------------------------------------------------------------
function groups(node) {
  const {x, w} = node.inputs;
  return {O: w.shape[0], C: w.shape[1], perGroup: w.shape[0] / (x.shape[1] / w.shape[1])};
}

function convolution(node, [n, o, i, j]) {
  const {x, w, b} = node.inputs;
  const {stride: [SH, SW], padding: [PH, PW], dilation: [DH, DW]} = geometry(node);
  const [C, KH, KW] = w.shape.slice(1);
  const [, , H, W] = x.shape;
  const first = Math.floor(o / groups(node).perGroup) * C;
  const [top, left] = [i * SH - PH, j * SW - PW];
  const inside = (h, v) => h >= 0 && v >= 0 && h < H && v < W;
  const pixel = ([c, u, v]) => [n, first + c, top + u * DH, left + v * DW];
  const formula = `Σ x[${n},${first ? `${first}+c` : "c"},${shifted(times(DH, "u"), top)},`
    + `${shifted(times(DW, "v"), left)}] · w[${o},c,u,v]${b ? ` + b[${o}]` : ""}`;
  return sumLens(node.y, [C, KH, KW], "cuv", (place) => {
    const at = pixel(place);
    return inside(at[2], at[3]) ? x.at(at) : null;
  }, ([c, u, v]) => w.at([o, c, u, v]), {
    ...ending(node, [n, o, i, j]),
    formula: fusedFormula(node, [n, o, i, j], formula), bias: b ? b.at([o]) : null,
    labels: [(k) => ["window", `of x[${n},${first + k}]`], (k) => ["filter", `w[${o},${k}]`]],
    empty: (place) => !inside(...pixel(place).slice(2)),
    outer: ["channel", (k) => first + k],
    marks: (c) => ({
      x: [{lead: [n, first + c], rect: [top, left, (KH - 1) * DH + 1, (KW - 1) * DW + 1]}],
      w: [{lead: [o, c]}],
    }),
    places: (place) => ({
      x: {lead: pixel(place).slice(0, 2), cell: pixel(place).slice(2)},
      w: {lead: [o, place[0]], cell: place.slice(1)},
    }),
    describe: ([c, u, v]) => `channel ${first + c}, row ${u}, column ${v} of the window`,
  });
}

// Along one axis: the windows that a pixel may be in, first and one past the last.
function windowsOver(pixel, stride, padding, span, count) {
  const place = pixel + padding;
  const first = Math.max(0, Math.ceil((place - span + 1) / stride));
  return [first, Math.max(first, Math.min(count, Math.floor(place / stride) + 1))];
}

// How an axis counts from a pixel to the cell of the window it is: "14-i".
function cellText(pixel, padding, letter, stride) {
  return `${pixel + padding}-${times(stride, letter)}`;
}

function inputGradient(node, [n, c, p, q]) {
  const {w} = node.inputs;
  const {d, dz} = beforeActivation(node);
  const {stride, padding, dilation} = geometry(node);
  const {C, perGroup} = groups(node);
  const [KH, KW] = w.shape.slice(2);
  const [o0, own] = [Math.floor(c / C) * perGroup, c % C];
  const span = [(KH - 1) * dilation[0] + 1, (KW - 1) * dilation[1] + 1];
  const [rows, columns] = [0, 1].map((k) => windowsOver(
    [p, q][k], stride[k], padding[k], span[k], dz.shape[k + 2]));
  const cell = ([, i, j]) => [0, 1].map((k) => {
    const distance = [p, q][k] + padding[k] - [rows[0] + i, columns[0] + j][k] * stride[k];
    return distance % dilation[k] ? -1 : distance / dilation[k];
  });
  const hit = ([u, v]) => u >= 0 && v >= 0 && u < KH && v < KW;
  const window = ([o, i, j]) => [n, o0 + o, rows[0] + i, columns[0] + j];
  const sizes = [perGroup, rows[1] - rows[0], columns[1] - columns[0]];
  return sumLens(node.back.grads.x, sizes, "oij", (place) => dz.at(window(place)), (place) => {
    const at = cell(place);
    return hit(at) ? w.at([o0 + place[0], own, ...at]) : null;
  }, {
    several: node.activation ? 16 : 1,
    formula: `Σ ${d}[${n},o,i,j] · w[o,${own},${cellText(p, padding[0], "i", stride[0])},`
      + `${cellText(q, padding[1], "j", stride[1])}]`,
    starts: [o0, rows[0], columns[0]],
    note: sizes[1] * sizes[2] ? "" : NOBODY,
    labels: [(k) => [`${d}[${n},${o0 + k}]`, `${sizes[1] * sizes[2]} windows`],
      (k) => [`w[${o0 + k},${own}]`, "the weight each used"]],
    empty: (place) => !hit(cell(place)),
    outer: ["filter", (k) => o0 + k],
    marks: (o) => ({
      dy: [{lead: [n, o0 + o], rect: [rows[0], columns[0], sizes[1], sizes[2]]}],
      w: [{lead: [o0 + o, own]}],
    }),
    places: (place) => ({
      dy: {lead: window(place).slice(0, 2), cell: window(place).slice(2)},
      w: {lead: [o0 + place[0], own], cell: cell(place)},
      dx: {lead: [n, c], rect: [0, 1].map((k) => window(place)[k + 2] * stride[k] - padding[k])
        .concat(span)},
    }),
    describe: (place) => `filter ${o0 + place[0]}, window at (${window(place).slice(2)}), `
      + `weight (${cell(place)})`,
  });
}

function weightGradient(node, [o, c, u, v]) {
  const {x} = node.inputs;
  const {d, dz} = beforeActivation(node);
  const {stride: [SH, SW], padding: [PH, PW], dilation: [DH, DW]} = geometry(node);
  const [N, , OH, OW] = dz.shape;
  const [, , H, W] = x.shape;
  const channel = Math.floor(o / groups(node).perGroup) * node.inputs.w.shape[1] + c;
  const [top, left] = [u * DH - PH, v * DW - PW];
  const pixel = ([n, i, j]) => [n, channel, i * SH + top, j * SW + left];
  const inside = ([, , h, k]) => h >= 0 && k >= 0 && h < H && k < W;
  return sumLens(node.back.grads.w, [N, OH, OW], "nij", ([n, i, j]) => dz.at([n, o, i, j]),
    (place) => (inside(pixel(place)) ? x.at(pixel(place)) : null), {
      several: node.activation ? 16 : 1,
      formula: `Σ ${d}[n,${o},i,j] · x[n,${channel},${shifted(times(SH, "i"), top)},`
        + `${shifted(times(SW, "j"), left)}]`,
      labels: [(n) => [`${d}[${n},${o}]`, "every position"], (n) => [`x[${n},${channel}]`, "it met"]],
      empty: (place) => !inside(pixel(place)),
      outer: ["image", (n) => n],
      marks: (n) => ({dy: [{lead: [n, o]}],
        x: [{lead: [n, channel], rect: [top, left, (OH - 1) * SH + 1, (OW - 1) * SW + 1]}]}),
      places: (place) => ({
        dy: {lead: [place[0], o], cell: place.slice(1)},
        x: {lead: [place[0], channel], cell: pixel(place).slice(2)},
      }),
      describe: ([n, i, j]) => `image ${n}, position (${i}, ${j})`,
    });
}

function biasGradient(node, [o]) {
  const {d, dz} = beforeActivation(node);
  const [N, , OH, OW] = dz.shape;
  return sumLens(node.back.grads.b, [N, OH, OW], "nij", ([n, i, j]) => dz.at([n, o, i, j]), null, {
    several: node.activation ? 16 : 1,
    formula: `Σ ${d}[n,${o},i,j]`, labels: [(n) => [`${d}[${n},${o}]`, "every position"]],
    outer: ["image", (n) => n],
    marks: (n) => ({dy: [{lead: [n, o]}]}),
    places: (place) => ({dy: {lead: [place[0], o], cell: place.slice(1)}}),
    describe: ([n, i, j]) => `image ${n}, position (${i}, ${j})`,
  });
}

// -- pooling ---------------------------------------------------------------------
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

function adaptiveAverageGradient(node, [n, c, p, q]) {
  const {x} = node.inputs;
  const {dy} = node.back;
  const hits = [0, 1].map((k) => {
    const [size, count] = [x.shape[k + 2], dy.shape[k + 2]];
    const all = Array.from({length: count}, (_, i) => i).filter((i) => {
      const [start, end] = evenly(i, size, count);
      return [p, q][k] >= start && [p, q][k] < end;
    });
    return [all[0], all.length];
  });
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

// -- dense layers ----------------------------------------------------------------
function linear(node, index) {
  const {x, w, b} = node.inputs;
  const [row, o] = [index.slice(0, -1), index[index.length - 1]];
  const formula = `Σ ${indexed("x", [...row, "i"])} · w[${o},i]${b ? ` + b[${o}]` : ""}`;
  return sumLens(node.y, [w.shape[1]], "i", ([i]) => x.at([...row, i]), ([i]) => w.at([o, i]), {
    ...ending(node, index), formula: fusedFormula(node, index, formula),
    bias: b ? b.at([o]) : null, labels: [() => ["x", ""], () => ["w", `row ${o}`]],
    marks: () => ({w: [{lead: [], rect: [o, 0, 1, w.shape[1]]}]}),
    places: ([i]) => ({x: {index: [...row, i]}, w: {index: [o, i]}}),
    describe: ([i]) => `input ${i}`,
  });
}

function linearInputGradient(node, index) {
  const {w} = node.inputs;
  const {d, dz} = beforeActivation(node);
  const [row, i] = [index.slice(0, -1), index[index.length - 1]];
  return sumLens(node.back.grads.x, [w.shape[0]], "o", ([o]) => dz.at([...row, o]),
    ([o]) => w.at([o, i]), {
      several: node.activation ? 16 : 1,
      formula: `Σ ${indexed(d, [...row, "o"])} · w[o,${i}]`,
      labels: [() => [d, ""], () => ["w", `column ${i}`]],
      marks: () => ({w: [{lead: [], rect: [0, i, w.shape[0], 1]}]}),
      places: ([o]) => ({dy: {index: [...row, o]}, w: {index: [o, i]}}),
      describe: ([o]) => `output ${o}`,
    });
}

function linearSum(node, letter, second, formula, labels) {
  const {d, dz} = beforeActivation(node);
  const sizes = dz.shape.slice(0, -1);
  return sumLens(node.back.grads[letter], sizes.length ? sizes : [1], "nmlk".slice(0, sizes.length),
    (place) => dz.at([...place.slice(0, sizes.length), second.o]),
    second.x ? (place) => second.x.at([...place.slice(0, sizes.length), second.i]) : null, {
      several: node.activation ? 16 : 1, formula: formula(d), labels: labels(d),
      marks: () => ({}), describe: (place) => `row ${place}`,
      places: (place) => ({dy: {index: [...place, second.o]},
        ...(second.x ? {x: {index: [...place, second.i]}} : {})}),
    });
}

function linearWeightGradient(node, [o, i]) {
  return linearSum(node, "w", {o, i, x: node.inputs.x}, (d) => `Σ ${d}[n,${o}] · x[n,${i}]`,
    (d) => [() => [`${d}[n,${o}]`, ""], () => [`x[n,${i}]`, ""]]);
}

function linearBiasGradient(node, [o]) {
  return linearSum(node, "b", {o}, (d) => `Σ ${d}[n,${o}]`, (d) => [() => [`${d}[n,${o}]`, ""]]);
}

const conv = {y: convolution, x: inputGradient, w: weightGradient, b: biasGradient};
export const WINDOW_LENSES = {
  Conv2d: conv,
  DepthwiseConv2d: conv,
  MaxPool2d: {y: maxPool, x: maxPoolGradient},
  AvgPool2d: {y: averagePool, x: averagePoolGradient},
  AdaptiveAvgPool2d: {y: adaptiveAverage, x: adaptiveAverageGradient},
  Linear: {y: linear, x: linearInputGradient, w: linearWeightGradient, b: linearBiasGradient},
};
