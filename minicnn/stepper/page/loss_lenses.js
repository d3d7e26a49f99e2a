// Lenses on softmax and on losses.
import { indexed, four } from "./numbers.js";
import { SEVERAL, epsilonOf, sumLens } from "./sums.js";

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

// -- softmax, along one axis -------------------------------------------------------
function along(node, index) {
  const {x} = node.inputs;
  const axis = (node.settings.dim + index.length) % index.length;
  const place = (l) => index.map((k, d) => (d === axis ? l : k));
  return {axis, place, count: x.shape[axis], k: index[axis]};
}

function softmax(node, index) {
  const {x} = node.inputs;
  const {place, count, k} = along(node, index);
  const row = Array.from({length: count}, (_, l) => x.at(place(l)));
  const top = Math.max(...row);
  const log = node.operation === "LogSoftmax";
  const lens = sumLens(node.y, [count], "l", ([l]) => x.round(Math.exp(row[l] - top)), null, {
    labels: [() => ["e^(x−m)", "m the largest x"]], marks: () => ({}),
    places: ([l]) => ({x: {index: place(l), cell: place(l).slice(-2)}}), describe: ([l]) => `l = ${l}`,
    formula: log ? `${indexed("x", index)} − m − ln Σ e^(${indexed("x", place("l"))} − m)`
      : `e^(${indexed("x", index)} − m) / Σ e^(${indexed("x", place("l"))} − m)`,
  });
  const sum = log ? row[k] - top - Math.log(lens.total) : Math.exp(row[k] - top) / lens.total;
  return {...lens, sum,
    rounding: SEVERAL * epsilonOf(x) * (Math.max(...row.map(Math.abs)) + count)
      * (log ? 1 : Math.abs(sum)),
    then: log ? `→ ${four(row[k])} − ${four(top)} − ln ${four(lens.total)} =`
      : `→ ${four(lens.window[k])} / ${four(lens.total)} =`};
}

function softmaxGradient(node, index) {
  const {y} = node;
  const {dy, grads} = node.back;
  const {place, count} = along(node, index);
  const log = node.operation === "LogSoftmax";
  const lens = sumLens(grads.x, [count], "l", ([l]) => dy.at(place(l)),
    log ? null : ([l]) => y.at(place(l)), {
      labels: [() => ["dy", ""], () => ["y", ""]], marks: () => ({}), describe: ([l]) => `l = ${l}`,
      places: ([l]) => ({dy: {index: place(l), cell: place(l).slice(-2)}}),
      formula: log ? `${indexed("dy", index)} − e^${indexed("y", index)} Σ ${indexed("dy", place("l"))}`
        : `${indexed("y", index)} (${indexed("dy", index)} − Σ ${indexed("dy", place("l"))} · `
          + `${indexed("y", place("l"))})`,
      note: "Every y of the row depends on every x of it.",
    });
  const [d, own] = [dy.at(index), log ? Math.exp(y.at(index)) : y.at(index)];
  return {...lens, sum: log ? d - own * lens.total : own * (d - lens.total),
    rounding: SEVERAL * (lens.rounding + epsilonOf(y) * Math.abs(d)),
    then: log ? `→ ${four(d)} − ${four(own)} · ${four(lens.total)} =`
      : `→ ${four(own)} · (${four(d)} − ${four(lens.total)}) =`};
}

// -- other losses ------------------------------------------------------------------
function likelihood(node, [n]) {
  const {x, t, w} = node.inputs;
  const place = [n, t.at([n])];
  return {kind: "value", formula: `−w[${n}] ${indexed("x", place)}`, rounding: 0,
    sum: w.at([n]) ? -w.at([n]) * x.at(place) : 0,
    parts: {[indexed("x", place)]: x.at(place), [`w[${n}]`]: w.at([n])},
    note: `Row ${n} has class ${place[1]}; x holds logarithms of probabilities.`};
}

function likelihoodGradient(node, [n, k]) {
  const {t, w} = node.inputs;
  const {dy} = node.back;
  const right = k === t.at([n]);
  return {kind: "value", formula: right ? `−w[${n}] dy[${n}]` : "0", rounding: 0,
    sum: right ? -w.at([n]) * dy.at([n]) : 0, parts: {[`dy[${n}]`]: dy.at([n]), [`w[${n}]`]: w.at([n])},
    note: `Row ${n} has class ${t.at([n])}: its logarithm alone is in the loss.`};
}

function softTarget(node, [n]) {
  const {x, q} = node.inputs;
  const {log, scores} = probabilities(x, n);
  const lens = sumLens(node.y, [log.length], "k", ([k]) => q.at([n, k]),
    ([k]) => (q.at([n, k]) ? x.round(-log[k]) : 0), {
      formula: `Σ q[${n},k] · −ln p[${n},k]`,
      labels: [() => [`q[${n}]`, "wanted"], () => [`−ln p[${n}]`, ""]], marks: () => ({}),
      places: ([k]) => ({x: {index: [n, k]}, q: {index: [n, k]}}), describe: ([k]) => `class ${k}`,
      note: "p is the softmax of x; q are the wanted probabilities.",
    });
  const size = lens.window.reduce((a, b) => a + Math.abs(b), 0);
  return {...lens, rounding: SEVERAL * epsilonOf(x) * Math.max(1, size)
    * (Math.max(...scores.map(Math.abs)) + x.size)};
}

function softTargetGradient(node, [n, k], letter) {
  const {x, q} = node.inputs;
  const {log, p, scores} = probabilities(x, n);
  const dy = node.back.dy.at([n]);
  const rounding = SEVERAL * epsilonOf(x) * Math.abs(dy)
    * (Math.max(...scores.map(Math.abs)) + x.size);
  if (letter === "q") {
    return {kind: "value", sum: -dy * log[k], rounding, formula: `−dy[${n}] ln p[${n},${k}]`,
      parts: {[`dy[${n}]`]: dy, [`ln p[${n},${k}]`]: log[k]}};
  }
  let total = 0;
  for (let l = 0; l < p.length; l++) total += q.at([n, l]);
  return {kind: "value", sum: dy * (p[k] * total - q.at([n, k])),
    rounding: rounding * Math.max(1, Math.abs(total)),
    formula: `dy[${n}] (p[${n},${k}] Σ q[${n},l] − q[${n},${k}])`,
    parts: {[`dy[${n}]`]: dy, [`p[${n},${k}]`]: p[k], [`q[${n},${k}]`]: q.at([n, k]), "Σ q": total}};
}

// How far a class is on the wrong side of its bound, and what that is multiplied by.
function margin(node, n, k) {
  const {x, t} = node.inputs;
  const {m_plus: most, m_minus: least, down_weight: down} = node.settings;
  const there = t.at([n, k]) > 0;
  return {there, bound: there ? most : least, factor: there ? 1 : down,
    distance: Math.max(there ? most - x.at([n, k]) : x.at([n, k]) - least, 0)};
}

function marginLoss(node, [n]) {
  const {x} = node.inputs;
  const lens = sumLens(node.y, [x.shape[1]], "k", ([k]) => x.round(margin(node, n, k).distance),
    ([k]) => x.round(margin(node, n, k).distance * margin(node, n, k).factor), {
      formula: `Σ max(0, ${node.settings.m_plus} − x[${n},k])² where class k is there, else `
        + `${node.settings.down_weight} max(0, x[${n},k] − ${node.settings.m_minus})²`,
      labels: [() => ["distance", "on the wrong side of the bound"], () => ["distance", "weighted"]],
      marks: () => ({}), places: ([k]) => ({x: {index: [n, k]}, t: {index: [n, k]}}),
      describe: ([k]) => `class ${k}, ${margin(node, n, k).there ? "" : "not "}there`,
    });
  return {...lens, rounding: SEVERAL * epsilonOf(x) * (Math.abs(lens.sum) + x.shape[1])};
}

function marginGradient(node, [n, k]) {
  const {x} = node.inputs;
  const dy = node.back.dy.at([n]);
  const {there, bound, factor, distance} = margin(node, n, k);
  return {kind: "value", sum: (there ? -2 : 2 * factor) * distance * dy,
    rounding: SEVERAL * epsilonOf(x) * Math.abs(dy) * (Math.abs(x.at([n, k])) + bound),
    formula: there ? `−2 dy[${n}] max(0, ${bound} − x[${n},${k}])`
      : `2 · ${factor} dy[${n}] max(0, x[${n},${k}] − ${bound})`,
    parts: {[`dy[${n}]`]: dy, [`x[${n},${k}]`]: x.at([n, k])},
    note: `Class ${k} is ${there ? "" : "not "}there.`};
}

const softmaxes = {y: softmax, x: softmaxGradient};
export const LOSS_LENSES = {
  SoftmaxCrossEntropy: {y: crossEntropy, x: crossEntropy},
  Softmax: softmaxes, LogSoftmax: softmaxes,
  NegativeLogLikelihood: {y: likelihood, x: likelihoodGradient},
  SoftTargetCrossEntropy: {y: softTarget, gradient: softTargetGradient},
  CapsuleMargin: {y: marginLoss, x: marginGradient},
};
