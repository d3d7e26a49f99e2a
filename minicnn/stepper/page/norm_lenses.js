// Lenses on normalization.
import { beforeActivation } from "./endings.js";
import { four, indexed } from "./numbers.js";
import { SEVERAL, epsilonOf, finish, sumLens } from "./sums.js";

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

// The mean (y[0,c]) or the variance (y[1,c]) of a channel.
function moments(node, [which, c]) {
  const {x} = node.inputs;
  const [N, , ...rest] = x.shape;
  const count = rest.reduce((a, b) => a * b, N);
  const axes = [..."nijk"].slice(0, rest.length + 1);
  const at = ([n, ...where]) => [n, c, ...where];
  const mean = node.y.at([0, c]);
  const far = (place) => x.round(x.at(at(place)) - mean);
  const given = {
    divisor: count, outer: ["image", (n) => n], marks: (n) => ({x: [{lead: [n, c]}]}),
    places: (place) => ({x: {index: at(place)}}), describe: (place) => `element ${at(place)}`,
  };
  if (which === 0) {
    return sumLens(node.y, [N, ...rest], axes, (place) => x.at(at(place)), null, {
      ...given, formula: `1/${count} Σ ${indexed("x", at(axes))}`,
      labels: [(n) => [`x[${n},${c}]`, ""]],
      note: "The mean of the channel over all images of the batch."});
  }
  return sumLens(node.y, [N, ...rest], axes, far, far, {
    ...given, several: SEVERAL, rounding: (epsilonOf(x) * mean) ** 2,
    formula: `1/${count} Σ ${indexed("d", at(axes))}², d = x − mean[${c}]`,
    labels: [(n) => [`d[${n},${c}]`, "x − mean"], (n) => [`d[${n},${c}]`, "again"]],
    note: "The variance: how far the channel's elements lie from their mean, squared."});
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
    note: training ? "Mean and variance are the batch's own and move with x."
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

// -- local response normalization --------------------------------------------------
// Channels around c, first and one past the last.
const around = (c, before, after, C) => [Math.max(0, c - before), Math.min(C, c + after + 1)];

function responses(node, [n, , ...pixel]) {
  const {x} = node.inputs;
  const {size, alpha, beta, k} = node.settings;
  const [before, after] = [Math.floor(size / 2), Math.floor((size - 1) / 2)];
  const C = x.shape[1];
  const at = (c) => x.at([n, c, ...pixel]);
  const s = (c) => {
    const [first, end] = around(c, before, after, C);
    let total = 0;
    for (let m = first; m < end; m++) total += at(m) ** 2;
    return k + (alpha / size) * total;
  };
  return {at, s, before, after, C, size, alpha, beta, k};
}

function responseNorm(node, index) {
  const c = index[1];
  const {x} = node.inputs;
  const {at, s, before, after, C, size, alpha, beta, k} = responses(node, index);
  const [first, end] = around(c, before, after, C);
  const place = (m) => [index[0], first + m, ...index.slice(2)];
  const lens = sumLens(node.y, [end - first], "k", ([m]) => at(first + m), ([m]) => at(first + m), {
    starts: [first], labels: [() => ["x", `channels ${first} to ${end - 1}`], () => ["x", "again"]],
    marks: () => ({}), places: ([m]) => ({x: {lead: place(m).slice(0, 2), cell: index.slice(2)}}),
    describe: ([m]) => `channel ${first + m}`,
    formula: `${indexed("x", index)} (${k} + ${alpha}/${size} Σ ${indexed("x", [index[0], "k",
      ...index.slice(2)])}²)^-${beta}`,
    note: `The squares of channels ${first} to ${end - 1} damp channel ${c}.`,
  });
  const factor = s(c) ** -beta;
  const sum = x.round(at(c) * factor);
  return {...lens, sum, rounding: SEVERAL * epsilonOf(x) * Math.abs(sum) * (1 + size),
    then: `→ s = ${k} + ${alpha}/${size} · ${four(lens.total)} = ${four(s(c))}; `
      + `${four(at(c))} · s^-${beta} =`};
}

function responseNormGradient(node, index) {
  const c = index[1];
  const {dy, grads} = node.back;
  const {at, s, before, after, C, size, alpha, beta} = responses(node, index);
  const [first, end] = around(c, after, before, C);
  const place = (m) => [index[0], m, ...index.slice(2)];
  const g = (m) => dy.at(place(m)) * s(m) ** -beta;
  const scale = (2 * alpha * beta) / size;
  const lens = sumLens(grads.x, [end - first], "k",
    ([m]) => grads.x.round(g(first + m) / s(first + m)), ([m]) => at(first + m), {
      starts: [first], labels: [() => ["g/s", `channels ${first} to ${end - 1}`], () => ["x", ""]],
      marks: () => ({}), describe: ([m]) => `channel ${first + m}`,
      places: ([m]) => ({x: {lead: place(first + m).slice(0, 2), cell: index.slice(2)},
        dy: {lead: place(first + m).slice(0, 2), cell: index.slice(2)}}),
      formula: `g[${c}] − 2·${alpha}·${beta}/${size} ${indexed("x", index)} Σ g[k]/s[k] · x[k], `
        + `g = dy s^-${beta}`,
      note: `Channel ${c} also damps its neighbours: those of channels ${first} to ${end - 1}.`,
    });
  const magnitude = lens.products.reduce((a, b) => a + Math.abs(b), 0);
  return {...lens, sum: g(c) - scale * at(c) * lens.total,
    rounding: SEVERAL * epsilonOf(grads.x) * (1 + size)
      * (Math.abs(g(c)) + Math.abs(scale * at(c)) * magnitude),
    then: `→ ${four(g(c))} − ${four(scale)} · ${four(at(c))} · ${four(lens.total)} =`};
}

export const NORM_LENSES = {
  Moments: {y: moments},
  BatchNorm: {y: batchNorm, x: batchNormGradient, w: batchNormParameter, b: batchNormParameter},
  LocalResponseNorm: {y: responseNorm, x: responseNormGradient},
};
