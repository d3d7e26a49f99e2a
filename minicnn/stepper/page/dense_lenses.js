// Lenses on dense layers and matrix products: a row times a column.
import { beforeActivation, ending, fusedFormula } from "./endings.js";
import { indexed } from "./numbers.js";
import { sumLens } from "./sums.js";

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

// -- matrix products, or stacks of them --------------------------------------------
// The index of a stack's own matrix that stands at `lead` of the result.
function ownLead(shape, lead) {
  const own = shape.slice(0, -2);
  return own.map((n, k) => (n === 1 ? 0 : lead[lead.length - own.length + k]));
}

function matmul(node, index) {
  const {a, b} = node.inputs;
  const [lead, [i, j]] = [index.slice(0, -2), index.slice(-2)];
  const [la, lb] = [ownLead(a.shape, lead), ownLead(b.shape, lead)];
  return sumLens(node.y, [a.shape[a.shape.length - 1]], "k", ([k]) => a.at([...la, i, k]),
    ([k]) => b.at([...lb, k, j]), {
      formula: `Σ ${indexed("a", [...la, i, "k"])} · ${indexed("b", [...lb, "k", j])}`,
      labels: [() => ["a", `row ${i}`], () => ["b", `column ${j}`]],
      marks: () => ({a: [{lead: la, rect: [i, 0, 1, a.shape[a.shape.length - 1]]}],
        b: [{lead: lb, rect: [0, j, b.shape[b.shape.length - 2], 1]}]}),
      places: ([k]) => ({a: {cell: [i, k]}, b: {cell: [k, j]}}), describe: ([k]) => `k = ${k}`,
    });
}

// dy b' or a' dy, also over the matrices of a stack that this one was used for.
function matmulGradient(node, index, letter) {
  const {dy} = node.back;
  const {shape} = node.inputs[letter];
  const name = letter === "a" ? "b" : "a";
  const other = node.inputs[name];
  const [lead, [i, j]] = [index.slice(0, -2), index.slice(-2)];
  const whole = dy.shape.slice(0, -2);
  const extra = dy.shape.length - shape.length;
  const repeated = whole.map((n, d) => d < extra || shape[d - extra] !== n);
  const letters = [..."nmlh"];
  const names = whole.map((_, d) => (repeated[d] ? letters.shift() : lead[d - extra]));
  const full = (place) => {
    const rest = [...place];
    return whole.map((_, d) => (repeated[d] ? rest.shift() : lead[d - extra]));
  };
  const [rows, columns] = dy.shape.slice(-2);
  const sizes = [...whole.filter((_, d) => repeated[d]), letter === "a" ? columns : rows];
  const last = (place) => place[place.length - 1];
  const at = letter === "a"
    ? (place) => ({dy: [i, last(place)], other: [j, last(place)]})
    : (place) => ({dy: [last(place), j], other: [last(place), i]});
  const [first, second] = letter === "a" ? [[i, "j"], [j, "j"]] : [["i", j], ["i", i]];
  return sumLens(node.back.grads[letter], sizes,
    [...names.filter((k) => typeof k === "string"), letter === "a" ? "j" : "i"],
    (place) => dy.at([...full(place), ...at(place).dy]),
    (place) => other.at([...ownLead(other.shape, full(place)), ...at(place).other]), {
      formula: `Σ ${indexed("dy", [...names, ...first])} · ${indexed(name, [...names, ...second])}`,
      labels: [() => ["dy", ""], () => [name, ""]], marks: () => ({}),
      places: (place) => ({dy: {cell: at(place).dy}, [name]: {cell: at(place).other}}),
      describe: (place) => `dy[${[...full(place), ...at(place).dy]}]`,
    });
}

export const DENSE_LENSES = {
  Linear: {y: linear, x: linearInputGradient, w: linearWeightGradient, b: linearBiasGradient},
  MatMul: {y: matmul, gradient: matmulGradient},
};
