// Lenses on what works element by element, on normalization, joining, moving and the loss.
import { unravel } from "./arrays.js";
import { up } from "./follow.js";
import { beforeActivation, WINDOW_LENSES } from "./lenses.js";
import { indexed } from "./numbers.js";
import { agreement, finish, storedLens, sumLens } from "./sums.js";

const sigmoid = (x) => (Math.tanh(x / 2) + 1) / 2;

// value(...inputs), and the slope of each input: slope(y, ...inputs).
const ELEMENTWISE = {
  ReLU: [(x) => Math.max(x, 0), {x: (y, x) => Number(x > 0)}],
  ReLU6: [(x) => Math.min(Math.max(x, 0), 6), {x: (y, x) => Number(x > 0 && x < 6)}],
  Hardswish: [(x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6,
    {x: (y, x) => (x <= -3 ? 0 : x < 3 ? x / 3 + 0.5 : 1)}],
  Tanh: [Math.tanh, {x: (y) => 1 - y * y}],
  ScaledTanh: [(x) => 1.7159 * Math.tanh((2 * x) / 3),
    {x: (y) => (2 / 3) * (1.7159 - (y * y) / 1.7159)}],
  Sigmoid: [sigmoid, {x: (y) => y * (1 - y)}],
  SiLU: [(x) => x * sigmoid(x), {x: (y, x) => sigmoid(x) + y * sigmoid(-x)}],
  Exp: [Math.exp, {x: (y) => y}],
  Log: [Math.log, {x: (y, x) => 1 / x}],
  Negate: [(x) => -x, {x: () => -1}],
  Cast: [(x) => x, {x: () => 1}],
  ToDevice: [(x) => x, {x: () => 1}],
  Add: [(a, b) => a + b, {a: () => 1, b: () => 1}],
  Subtract: [(a, b) => a - b, {a: () => 1, b: () => -1}],
  Multiply: [(a, b) => a * b, {a: (y, a, b) => b, b: (y, a) => a}],
  Divide: [(a, b) => a / b, {a: (y, a, b) => 1 / b, b: (y, a, b) => -a / (b * b)}],
  Power: [(a, b) => a ** b, {a: (y, a, b) => (b ? b * a ** (b - 1) : 0),
    b: (y, a) => y * Math.log(a || 1)}],
};
const ADDED = new Set(["Add", "Subtract", "Negate", "Cast", "ToDevice"]); // the slope is plain
const SEVERAL = 16;

const epsilonOf = (array) => (array.double ? 2 ** -52 : 2 ** -23);

// The index of a broadcast array's own element that stands at `index` of the result.
function own(shape, index) {
  const extra = index.length - shape.length;
  return shape.map((n, k) => (n === 1 ? 0 : index[k + extra]));
}

function elementwise(node, index) {
  const [value] = ELEMENTWISE[node.operation];
  const at = (where) => node.letters.map((k) => node.inputs[k].at(own(node.inputs[k].shape, where)));
  const sum = node.y.round(value(...at(index)));
  return {
    kind: "pointwise", formula: node.text, sum,
    rounding: SEVERAL * epsilonOf(node.y) * (Math.abs(sum) + 1),
    parts: Object.fromEntries(node.letters.map((k, d) => [
      indexed(k, own(node.inputs[k].shape, index)), at(index)[d]])),
    panels: [
      ...node.letters.map((k) => ({caption: [k, node.titles[k] === k ? "" : node.titles[k]],
        value: (where) => node.inputs[k].at(own(node.inputs[k].shape, where))})),
      {caption: ["y", node.text], value: (where) => node.y.at(where)},
    ],
    signs: node.letters.length === 2 ? [{Add: "+", Subtract: "−", Multiply: "×", Divide: "÷",
      Power: "^"}[node.operation], "="] : ["→"],
  };
}

function elementwiseGradient(node, index, letter) {
  const {dy} = node.back;
  const {shape} = node.inputs[letter];
  const [, slopes] = ELEMENTWISE[node.operation];
  const values = (where) => node.letters.map(
    (k) => node.inputs[k].at(own(node.inputs[k].shape, where)));
  const slope = (where) => dy.round(slopes[letter](node.y.at(where), ...values(where)));
  const extra = dy.shape.length - shape.length;
  const repeated = dy.shape.map((n, k) => k < extra || (shape[k - extra] === 1 && n !== 1));
  const text = node.slopes[letter];
  const factor = text === "1" ? "" : ` · ${text}`;
  const letters = [..."nmlkjihg"];
  const names = dy.shape.map((_, k) => (repeated[k] ? letters.shift() : index[k - extra]));
  const axes = names.filter((_, k) => repeated[k]);
  const sizes = dy.shape.filter((_, k) => repeated[k]);
  const full = (place) => {
    const rest = [...place];
    return dy.shape.map((_, k) => (repeated[k] ? rest.shift() : index[k - extra]));
  };
  const grad = node.back.grads[letter];
  const lens = sumLens(grad, sizes.length ? sizes : [1], axes.length ? axes : [""],
    (place) => dy.at(full(place)), (place) => slope(full(place)), {
      several: SEVERAL, formula: `${axes.length ? "Σ " : ""}${indexed("dy", names)}${factor}`,
      labels: [() => ["dy", ""], () => ["slope", ""]], marks: () => ({}),
      places: (place) => ({dy: {index: full(place)}}), describe: (place) => `place ${full(place)}`,
    });
  lens.rounding += SEVERAL * epsilonOf(grad) * lens.window.reduce((a, b) => a + Math.abs(b), 0);
  if (axes.length) return lens;
  const mask = ["ReLU", "ReLU6"].includes(node.operation);
  return {...lens, kind: "pointwise", products: null,
    parts: {[indexed("dy", index)]: dy.at(index), [mask ? "mask" : "slope"]: slope(index)},
    panels: [
      {caption: ["dy", ""], value: (where) => dy.at(where)},
      ...(ADDED.has(node.operation) ? [] : [
        {caption: [mask ? "mask" : "slope", text.replace(/^\(|\)$/g, "")], value: slope}]),
      {caption: [`d${letter}`, ""], value: (where) => grad.at(where)},
    ],
    signs: ADDED.has(node.operation) ? [text === "1" ? "→" : "× −1 ="] : ["×", "="]};
}

// What was added before a fused activation gets the sum's gradient as it is.
function addedGradient(node, index) {
  const {d, dz} = beforeActivation(node);
  return {kind: "pointwise", formula: `${indexed(d, index)}: a sum hands its gradient on`,
    sum: dz.at(index), rounding: SEVERAL * epsilonOf(dz) * Math.abs(node.back.dy.at(index)),
    parts: {[indexed("dy", index)]: node.back.dy.at(index)}, signs: ["→"],
    panels: [{caption: ["dy", ""], value: (where) => node.back.dy.at(where)},
      {caption: ["dadd", ""], value: (where) => node.back.grads.add.at(where)}]};
}

// -- dropout -----------------------------------------------------------------------
function dropout(node, index, letter) {
  const forward = letter === undefined;
  const [from, to] = forward ? [node.inputs.x, node.y] : [node.back.dy, node.back.grads.x];
  const {mask} = node.extra;
  const {keep} = node.settings;
  const scale = keep ? 1 / keep : 0;
  const name = forward ? "x" : "dy";
  const stays = mask.at(index);
  const sum = to.round(to.round(from.at(index) * stays) * to.round(scale));
  return {
    kind: "pointwise", sum, rounding: SEVERAL * epsilonOf(to) * Math.abs(sum),
    formula: `${indexed(name, index)} · mask / keep = ${indexed(name, index)} · ${stays} / ${keep}`,
    note: stays ? `It was kept, and is multiplied by 1/${keep} so that the mean stays.`
      : "It was dropped: 0 forward, and no gradient comes back through it.",
    parts: {[indexed(name, index)]: from.at(index), mask: stays, "1/keep": scale},
    panels: [{caption: [name, ""], value: (where) => from.at(where)},
      {caption: ["mask", `kept with probability ${keep}`], value: (where) => mask.at(where)},
      {caption: [forward ? "y" : "dx", ""], value: (where) => to.at(where)}],
    signs: ["×", `/ ${keep} =`],
  };
}

// -- batch normalization -----------------------------------------------------------
// Every element of channel c of an array (N, C, ...), by function.
function overChannel(array, c, visit) {
  const inner = array.strides[1];
  const [N, C] = array.shape;
  for (let n = 0; n < N; n++) {
    const start = (n * C + c) * inner;
    for (let k = 0; k < inner; k++) visit(array.values[start + k], start + k);
  }
}

function channelOf(node, c) {
  const {x, moments, w, b} = node.inputs;
  const [mean, variance] = [moments.at([0, c]), moments.at([1, c])];
  const factor = x.round(1 / x.round(Math.sqrt(x.round(variance + node.settings.eps))));
  return {mean, variance, factor, w: w ? w.at([c]) : 1, b: b ? b.at([c]) : 0,
    xhat: (value) => x.round(x.round(value - mean) * factor)};
}

function batchNorm(node, index) {
  const c = index[1];
  const {x} = node.inputs;
  const {mean, variance, factor, w, b, xhat} = channelOf(node, c);
  const normal = xhat(x.at(index));
  const lens = finish(node.y, {
    kind: "norm", total: node.y.round(normal * w), bias: node.inputs.b ? b : null,
    activation: node.activation, added: node.inputs.add ? node.inputs.add.at(index) : null,
    formula: `w[${c}] · (${indexed("x", index)} − mean[${c}]) / sqrt(var[${c}] + `
      + `${node.settings.eps}) + b[${c}]`,
    parts: {[indexed("x", index)]: x.at(index), [`mean[${c}]`]: mean, [`var[${c}]`]: variance,
      "x̂": normal, [`w[${c}]`]: w, [`b[${c}]`]: b},
  }, SEVERAL, 0);
  lens.rounding += SEVERAL * epsilonOf(x) * (Math.abs(x.at(index)) + Math.abs(mean)) * factor
    * Math.abs(w) + SEVERAL * epsilonOf(x) * (Math.abs(normal * w) + Math.abs(b));
  const [before, after] = [[], []];
  overChannel(x, c, (value) => before.push(value));
  overChannel(node.z ?? node.y, c, (value) => after.push(value));
  return {...lens, histograms: [
    {caption: ["x", `channel ${c} before`], values: before, mark: x.at(index)},
    {caption: [node.z ? "z" : "y", "after"], values: after, mark: (node.z ?? node.y).at(index)}]};
}

function batchNormGradient(node, index) {
  const c = index[1];
  const {x} = node.inputs;
  const {d, dz} = beforeActivation(node);
  const {factor, w, xhat} = channelOf(node, c);
  let [sum, sumWithX, count, size] = [0, 0, 0, 0];
  overChannel(dz, c, (g, place) => {
    sum += g;
    sumWithX += g * xhat(x.values[place]);
    size += Math.abs(g);
    count += 1;
  });
  const [g, normal, training] = [dz.at(index), xhat(x.at(index)), node.settings.training];
  const [shift, stretch] = training ? [-sum / count, (-normal * sumWithX) / count] : [0, 0];
  const [scale, grad] = [factor * w, node.back.grads.x];
  const value = grad.round((g + shift + stretch) * scale);
  const terms = [
    {name: indexed(d, index), value: g, what: "what arrived here"},
    ...(training ? [
      {name: `− mean(${d})`, value: shift, what: "moving every element moves the mean: no effect"},
      {name: `− x̂ · mean(${d} x̂)`, value: stretch, what: "stretching them all changes nothing"},
    ] : []),
  ];
  return {
    kind: "terms", sum: value, terms, scale: {name: `w[${c}] / sqrt(var[${c}] + eps)`, value: scale},
    formula: training ? `w/σ · (${d} − mean(${d}) − x̂ mean(${d} x̂))` : `w/σ · ${d}`,
    note: training ? "mean and variance are the batch's own and move with x."
      : "In evaluation mean and variance are constants, so one term is left.",
    parts: {"x̂": normal, [`mean(${d})`]: sum / count, [`mean(${d} x̂)`]: sumWithX / count},
    rounding: SEVERAL * epsilonOf(x) * Math.abs(scale)
      * (Math.abs(g) + (size / count) * (2 + Math.abs(normal)) * (4 + Math.sqrt(count))),
  };
}

function batchNormParameter(node, [c], letter) {
  const {x} = node.inputs;
  const {d, dz} = beforeActivation(node);
  const {xhat} = channelOf(node, c);
  const [N, C] = dz.shape;
  const rest = dz.shape.slice(2);
  const at = ([n, ...where]) => [n, c, ...where];
  const axes = [..."nijk"].slice(0, rest.length + 1);
  const name = (what) => indexed(what, ["n", c, ...axes.slice(1)]);
  return sumLens(node.back.grads[letter], [N, ...rest], axes, (place) => dz.at(at(place)),
    letter === "w" ? (place) => xhat(x.at(at(place))) : null, {
      several: SEVERAL, formula: `Σ ${name(d)}${letter === "w" ? ` · ${name("x̂")}` : ""}`,
      labels: [(n) => [`${d}[${n},${c}]`, ""], (n) => [`x̂[${n},${c}]`, ""]],
      outer: ["image", (n) => n],
      marks: (n) => ({dy: [{lead: [n, c]}]}),
      places: (place) => ({dy: {index: at(place)}, x: {index: at(place)}}),
      describe: (place) => `element ${at(place)}`,
    });
}

// -- joining and moving ------------------------------------------------------------
function cat(node, index) {
  const axis = node.settings.dim;
  let start = 0;
  const ranges = node.letters.map((letter) => {
    const range = {letter, start, end: (start += node.inputs[letter].shape[axis])};
    return {...range, own: index[axis] >= range.start && index[axis] < range.end};
  });
  const {letter} = ranges.find((range) => range.own);
  const source = up(node, letter, index);
  return {kind: "join", ranges, axis, sum: node.inputs[letter].at(source), rounding: 0,
    formula: indexed(letter, source), note: `Element ${index[axis]} along axis ${axis} is element `
      + `${source[axis]} of input ${letter}; nothing is computed.`};
}

function catGradient(node, index, letter) {
  const axis = node.settings.dim;
  let start = 0;
  const ranges = node.letters.map((k) => {
    const range = {letter: k, start, end: (start += node.inputs[k].shape[axis]), own: k === letter};
    return range;
  });
  const own_ = ranges.find((range) => range.own);
  const place = index.map((k, d) => (d === axis ? k + own_.start : k));
  return {kind: "join", ranges, axis, sum: node.back.dy.at(place), rounding: 0,
    formula: indexed("dy", place), note: "Each input gets its own part of the gradient."};
}

function moved(node, index) {
  const place = up(node, "x", index);
  return {kind: "value", sum: node.inputs.x.at(place), rounding: 0, formula: indexed("x", place),
    parts: {[indexed("x", place)]: node.inputs.x.at(place)}, note: "The element was only moved."};
}

function movedGradient(node, index) {
  const {dy} = node.back;
  const place = node.inputs.x.offset(index);
  const places = [];
  if (node.extra.source) {
    node.extra.source.values.forEach((source, k) => { if (source === place) places.push(k); });
  } else places.push(place);
  const indices = places.map((k) => unravel(k, dy.shape));
  const note = indices.length === 1 ? "The element was only moved, and its gradient with it."
    : indices.length ? "The element was taken several times: its gradients add up."
      : "This element is not in y, so it has no influence.";
  return {...sumLens(node.back.grads.x, [indices.length], "k", ([k]) => dy.at(indices[k]), null, {
    formula: indices.slice(0, 4).map((k) => indexed("dy", k)).join(" + ") || "0", note,
    labels: [() => ["dy", ""]], marks: () => ({}),
    places: ([k]) => ({dy: {index: indices[k]}}), describe: ([k]) => `dy[${indices[k]}]`})};
}

// -- sums and means ----------------------------------------------------------------
function reduced(node, index) {
  const {dims, keepdim} = node.settings;
  const {x} = node.inputs;
  const axes = [...dims];
  const letters = [..."nmlkjihg"].slice(0, axes.length);
  const rest = keepdim ? index.filter((_, k) => !axes.includes(k)) : [...index];
  const full = (place) => {
    const [own_, others] = [[...place], [...rest]];
    return x.shape.map((_, k) => (axes.includes(k) ? own_.shift() : others.shift()));
  };
  const sizes = axes.map((k) => x.shape[k]);
  const count = sizes.reduce((a, b) => a * b, 1);
  const mean = node.operation === "Mean";
  return sumLens(node.y, sizes, letters, (place) => x.at(full(place)), null, {
    ...(mean ? {divisor: count} : {}),
    formula: `${mean ? `1/${count} ` : ""}Σ ${indexed("x", full(letters))}`,
    labels: [() => ["x", ""]], marks: () => ({}), places: (place) => ({x: {index: full(place)}}),
    describe: (place) => `x[${full(place)}]`,
  });
}

function reducedGradient(node, index) {
  const {dims, keepdim} = node.settings;
  const {dy} = node.back;
  const place = index.map((k, d) => (dims.includes(d) ? 0 : k))
    .filter((_, d) => keepdim || !dims.includes(d));
  const count = node.operation === "Mean"
    ? dims.reduce((a, d) => a * node.inputs.x.shape[d], 1) : 1;
  return {kind: "value", sum: dy.round(dy.at(place) / count), rounding: 0,
    formula: indexed("dy", place) + (count > 1 ? ` / ${count}` : ""),
    parts: {[indexed("dy", place)]: dy.at(place), ...(count > 1 ? {elements: count} : {})},
    note: "Every element that went into the sum gets the same gradient."};
}

// -- softmax cross-entropy ---------------------------------------------------------
function probabilities(x, n) {
  const K = x.shape[1];
  const scores = Array.from({length: K}, (_, k) => x.at([n, k]));
  const top = Math.max(...scores);
  const total = scores.reduce((sum, s) => sum + Math.exp(s - top), 0);
  return {scores, p: scores.map((s) => Math.exp(s - top) / total),
    log: scores.map((s) => s - top - Math.log(total))};
}

function crossEntropy(node, index, letter, image) {
  const {x, t} = node.inputs;
  const N = x.shape[0];
  const n = letter ? index[0] : Math.min(image ?? 0, N - 1);
  const {scores, p} = probabilities(x, n);
  const right = t.at([n]);
  const rounding = SEVERAL * epsilonOf(x) * (Math.max(...scores.map(Math.abs)) + scores.length * N);
  const classes = {scores, p, right, n, difference: p.map((q, k) => q - Number(k === right))};
  const share = N === 1 ? "" : ` / ${N}`;
  if (letter) {
    const k = index[1];
    const dy = node.back.dy.at([]);
    return {kind: "classes", classes, pick: k, backward: true, rounding,
      sum: x.round((dy * classes.difference[k]) / N),
      formula: `dy (p[${n},${k}] − ${Number(k === right)})${share}`,
      note: `Row ${n} has class ${right}. Each class is pushed down by its p, the right one pulled `
        + "up by 1 − p."};
  }
  let total = 0;
  for (let row = 0; row < N; row++) total -= probabilities(x, row).log[t.at([row])];
  return {kind: "classes", classes, pick: right, rounding, sum: x.round(total / N),
    formula: `${N === 1 ? "" : `1/${N} `}Σ −ln p[n,t[n]]`,
    note: `Row ${n} has class ${right}: it adds −ln ${p[right].toPrecision(4)} to the sum.`};
}

const moves = {y: moved, x: movedGradient};
const reductions = {y: reduced, x: reducedGradient};
const dropouts = {y: dropout, x: dropout};
const LENSES = {
  ...WINDOW_LENSES,
  BatchNorm: {y: batchNorm, x: batchNormGradient, w: batchNormParameter, b: batchNormParameter},
  Dropout: dropouts, Dropout2d: dropouts,
  Cat: {y: cat, gradient: catGradient},
  Reshape: moves, Permute: moves, Index: moves, ChannelShuffle: moves,
  Sum: reductions, Mean: reductions,
  SoftmaxCrossEntropy: {y: crossEntropy, x: crossEntropy},
  ...Object.fromEntries(Object.keys(ELEMENTWISE).map(
    (name) => [name, {y: elementwise, gradient: elementwiseGradient}])),
};

// The lens on one number of a step: y[index], or d{letter}[index]. null where there is none; a
// string says why there is none here.
export function openLens(node, letter, index, image) {
  if (node.lenses) return openStored(node, letter, index);
  const looks = node.ours ? LENSES[node.operation] : null;
  const look = letter === "add" && looks?.w ? addedGradient : looks?.[letter] ?? looks?.gradient;
  if (!look || (letter === "y" && !looks.y)) return null;
  const lens = letter === "y" ? look(node, index, undefined, image)
    : look(node, index, letter, image);
  const array = letter === "y" ? node.y : node.back.grads[letter];
  lens.name = indexed(letter !== "y" ? `d${letter}` : node.loss ? "L" : "y", index);
  lens.sum = array.round(lens.sum);
  lens.recorded = array.at(index);
  lens.agreement = agreement(lens, node.backend);
  return lens;
}

// Over the page's budget: one of the few elements whose lens was put in.
function openStored(node, letter, index) {
  const raw = (node.lenses[letter] ?? []).find((lens) => lens.index.every((k, d) => k === index[d]));
  return raw ? storedLens(raw) : null;
}
