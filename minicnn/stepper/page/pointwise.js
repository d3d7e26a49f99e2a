// Lenses on what works element by element, and on dropout.
import { beforeActivation } from "./endings.js";
import { indexed } from "./numbers.js";
import { SEVERAL, epsilonOf, sumLens } from "./sums.js";

const sigmoid = (x) => (Math.tanh(x / 2) + 1) / 2;

// The share of a normal distribution below x, 1/2 erfc(a) of it beyond |x|: erf by its series of
// positive terms, for large a erfc by Laplace's continued fraction.
function normalShare(x) {
  const a = Math.abs(x) / Math.SQRT2;
  const density = Math.exp(-a * a) / Math.sqrt(Math.PI);
  let tail = 0.5;
  if (a < 3) {
    let term = a * density;
    for (let n = 1; n <= 60; n++) {
      tail -= term;
      term *= (2 * a * a) / (2 * n + 1);
    }
  } else {
    let fraction = a;
    for (let n = 60; n > 0; n--) fraction = a + n / 2 / fraction;
    tail = density / fraction / 2;
  }
  return x < 0 ? tail : 1 - tail;
}

const geluTanh = (x) => Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3));

// value(...inputs), and the slope of each input: slope(y, ...inputs); a setting comes last.
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
  LeakyReLU: [(x, s) => (x > 0 ? x : s * x), {x: (y, x, s) => (x > 0 ? 1 : s)}],
  PReLU: [(x, a) => (x > 0 ? x : a * x),
    {x: (y, x, a) => (x > 0 ? 1 : a), a: (y, x) => (x > 0 ? 0 : x)}],
  GELU: [(x) => x * normalShare(x), {x: (y, x) => normalShare(x)
    + (x * Math.exp(-x * x / 2)) / Math.sqrt(2 * Math.PI)}],
  GELUTanh: [(x) => (x * (1 + geluTanh(x))) / 2, {x: (y, x) => (1 + geluTanh(x)) / 2
    + ((x * (1 - geluTanh(x) ** 2)) / 2) * Math.sqrt(2 / Math.PI) * (1 + 0.134145 * x * x)}],
  Exp: [Math.exp, {x: (y) => y}],
  Log: [Math.log, {x: (y, x) => 1 / x}],
  Negate: [(x) => -x, {x: () => -1}],
  Cast: [(x) => x, {x: () => 1}],
  ToDevice: [(x) => x, {x: () => 1}],
  Add: [(a, b) => a + b, {a: () => 1, b: () => 1}],
  Subtract: [(a, b) => a - b, {a: () => 1, b: () => -1}],
  Multiply: [(a, b) => a * b, {a: (y, a, b) => b, b: (y, a) => a}],
  Divide: [(a, b) => a / b, {a: (y, a, b) => 1 / b, b: (y, a, b) => -a / (b * b)}],
  SquaredError: [(x, t) => (x - t) ** 2,
    {x: (y, x, t) => 2 * (x - t), t: (y, x, t) => -2 * (x - t)}],
  Hardsigmoid: [(x) => Math.min(Math.max(x + 3, 0), 6) / 6,
    {x: (y, x) => (x > -3 && x < 3 ? 1 / 6 : 0)}],
  Power: [(a, b) => a ** b, {a: (y, a, b) => (b ? b * a ** (b - 1) : 0),
    b: (y, a) => y * Math.log(a || 1)}],
};
const ADDED = new Set(["Add", "Subtract", "Negate", "Cast", "ToDevice"]); // the slope is plain

// The shape an input has when it is broadcast: a PReLU's numbers stand along the channels.
function standing(node, letter) {
  const {shape} = node.inputs[letter];
  if (node.operation !== "PReLU" || letter === "x") return shape;
  return shape[0] === 1 ? [] : [...shape, ...node.y.shape.slice(2).fill(1)];
}

// The index of an input's own element that stands at `index` of the result.
function own(node, letter, index) {
  const shape = standing(node, letter);
  const extra = index.length - shape.length;
  return shape.map((n, k) => (n === 1 ? 0 : index[k + extra]))
    .slice(0, node.inputs[letter].shape.length);
}

// What the functions are given for one element: inputs, and LeakyReLU's setting.
function given(node, index) {
  const values = node.letters.map((k) => node.inputs[k].at(own(node, k, index)));
  const setting = node.settings.negative_slope;
  return setting === undefined ? values : [...values, node.y.round(setting)];
}

function elementwise(node, index) {
  const [value] = ELEMENTWISE[node.operation];
  const at = (where) => given(node, where);
  const sum = node.y.round(value(...at(index)));
  const maps = node.operation === "PReLU" ? ["x"] : node.letters;
  return {
    kind: "pointwise", formula: node.text, sum,
    rounding: SEVERAL * epsilonOf(node.y) * (Math.abs(sum) + 1),
    parts: Object.fromEntries(node.letters.map((k, d) => [
      indexed(k, own(node, k, index)), at(index)[d]])),
    panels: [
      ...maps.map((k) => ({caption: [k, node.titles[k] === k ? "" : node.titles[k]],
        value: (where) => node.inputs[k].at(own(node, k, where))})),
      {caption: ["y", node.text], value: (where) => node.y.at(where)},
    ],
    signs: maps.length === 2 ? [{Add: "+", Subtract: "−", Multiply: "×", Divide: "÷",
      Power: "^", SquaredError: "−"}[node.operation], node.operation === "SquaredError" ? "squared" : "="] : ["→"],
  };
}

function elementwiseGradient(node, where, letter) {
  const {dy} = node.back;
  const shape = standing(node, letter);
  const index = shape.map((_, k) => where[k] ?? 0);
  const [, slopes] = ELEMENTWISE[node.operation];
  const slope = (place) => dy.round(slopes[letter](node.y.at(place), ...given(node, place)));
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
        {caption: [mask ? "mask" : "slope", text.replace(/^\((.*)\)$/, "$1")], value: slope}]),
      {caption: [`d${letter}`, ""], value: (where) => grad.at(where)},
    ],
    signs: ADDED.has(node.operation) ? [text === "1" ? "→" : "× −1 ="] : ["×", "="]};
}

// What was added before a fused activation gets the sum's gradient as it is.
export function addedGradient(node, index) {
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

const dropouts = {y: dropout, x: dropout};
export const POINTWISE_LENSES = {
  Dropout: dropouts, Dropout2d: dropouts,
  ...Object.fromEntries(Object.keys(ELEMENTWISE).map(
    (name) => [name, {y: elementwise, gradient: elementwiseGradient}])),
};
