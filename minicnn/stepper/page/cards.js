// The arrays of a step: what it reads and what it writes.
import { geometry } from "./follow.js";
import { byId, fill, h } from "./dom.js";
import { four, indexed } from "./numbers.js";
import { caption, heatMap, strip } from "./maps.js";
import { planeOf } from "./planes.js";

const WINDOWS = new Set(["Conv2d", "DepthwiseConv2d", "MaxPool2d", "AvgPool2d"]);

export function drawCards(app, lens) {
  const {model} = app;
  const shown = model.backward ? backwardCards(app, lens) : forwardCards(app, lens);
  fill(byId("arrays"), h("div", {class: "cards"}, shown), legend(), chosenNote(app, lens));
}

function legend() {
  return h("div", {class: "legend"}, h("span", {}, "−max"), h("i", {}), h("span", {},
    "+max, for each array"));
}

// Which cards there are: of the inputs those with a map to look at, and the output.
function forwardCards(app, lens) {
  const {model} = app;
  const {node} = model.step;
  const cards = node.letters.filter((letter) => node.inputs[letter]).map((letter) => inputCard(
    app, lens, letter));
  const written = activation(app, lens, {role: "y", name: node.loss ? "L" : "y", array: node.y,
    index: model.pick, word: "writes", target: true});
  return mapsFirst([...cards, written]);
}

function backwardCards(app, lens) {
  const {model} = app;
  const {node} = model.step;
  const {letter, array, name} = model.target;
  const cards = [activation(app, lens, {role: "dy", name: "dy", array: node.back.dy,
    index: model.pickOf(node.output), word: "reads"})];
  const isWeight = letter !== null && parameter(app, node, letter);
  for (const other of node.letters) {
    const wanted = other === "w" ? !isWeight : other === "place"
      || other === "x" && (letter === "w" || node.operation === "PReLU");
    if (wanted && node.inputs[other]) cards.push(inputCard(app, lens, other));
  }
  if (array) {
    cards.push(isWeight
      ? weights(app, lens, {role: `d${letter}`, name, array, index: model.pick, word: "writes",
        target: true})
      : activation(app, lens, {role: `d${letter}`, name, array, index: model.pick, word: "writes",
        target: true}));
  }
  return mapsFirst(cards);
}

// Maps, two beside each other, before what takes a whole row.
function mapsFirst(cards) {
  const wide = (card) => !card.matches(".card:not(.wide)");
  return [...cards.filter((card) => !wide(card)), ...cards.filter(wide)];
}

function parameter(app, node, letter) {
  const tensor = node.tensors[letter];
  return tensor !== null && app.model.tensors[tensor].kind === "parameter";
}

function inputCard(app, lens, letter) {
  const {model} = app;
  const {node} = model.step;
  const array = node.inputs[letter];
  if (parameter(app, node, letter) || array.shape.length === 1) {
    return weights(app, lens, {role: letter, name: letter, array, word: "reads",
      index: weightIndex(app, lens, letter)});
  }
  return activation(app, lens, {role: letter, name: letter, array, word: "reads",
    index: model.pickOf(node.tensors[letter])});
}

// Which weight is shown: what the lens looks at.
function weightIndex(app, lens, letter) {
  const {model} = app;
  const {node} = model.step;
  const array = node.inputs[letter];
  const lead = lens?.marks?.(app.outer(lens))?.[letter]?.[0]?.lead;
  if (lead) return array.shape.map((_, k) => lead[k] ?? 0);
  const pick = model.pickOf(node.output);
  return array.shape.map((n, k) => Math.min(k === 0 ? pick[1] ?? pick[0] ?? 0 : 0, n - 1));
}

// The frames that the lens draws on an array's map, and the current term's cell.
function marksOn(app, lens, role, index, array) {
  const {model} = app;
  const marks = [];
  if (!lens) return {marks, lead: null};
  const list = lens.marks?.(app.outer(lens))[role] ?? [];
  const lead = list[0]?.lead?.length && array.has(list[0].lead) ? list[0].lead : null;
  for (const {rect, win} of list) if (rect) marks.push({rect, kind: win ? "win" : "hue"});
  if (model.depth === 2 && lens.places && lens.products?.length) {
    const place = app.termPlace(lens);
    const at = lens.places(place)[role];
    if (at?.cell) marks.push({rect: [...at.cell, 1, 1], kind: "term"});
    else if (at?.index) marks.push({index: at.index, kind: "term"});
    else if (at?.rect) marks.push({rect: at.rect, kind: "hue"});
  }
  return {marks, lead};
}

function padOf(node, role) {
  if (!WINDOWS.has(node.operation) || !["x", "dx"].includes(role)) return [0, 0];
  return geometry(node).padding;
}

// An image, a feature map or a row of numbers.
function activation(app, lens, {role, name, array, index, word, target}) {
  const {model} = app;
  const {node} = model.step;
  const {marks, lead} = marksOn(app, lens, role, index, array);
  const shown = lead && !target ? [...lead, ...index.slice(lead.length)] : index;
  const choose = (where) => (target ? app.choose(where) : app.chooseInput(role, where));
  const pick = array.shape.length >= 2 ? index.slice(-2) : index;
  const here = shown.slice(0, -2).every((k, d) => k === index[d]);
  if (target && array.shape.length >= 3) marks.push({rect: [...pick, 1, 1], kind: "pick"});
  else if (target) marks.push({index, kind: "pick"});
  else if (!marks.length && here && array.shape.length >= 3) {
    marks.push({rect: [...pick, 1, 1], kind: "hue"});
  } else if (!marks.length && array.shape.length < 3) marks.push({index, kind: "hue"});
  const matrix = role === "moments" || (role === "y" && node.operation === "Moments");
  const placed = placeMarks(marks, array, shown, matrix);
  const leads = array.shape.length === 4
    ? Array.from({length: array.shape[1]}, (_, c) => [shown[0], c])
      .filter((one) => array.has(one)) : [];
  const channels = leads.map(([, c]) => c);
  return h("figure", {class: "card", "data-role": role},
    caption(name, array, word),
    heatMap(app, {array, index: shown, matrix, name, marks: placed, choose, pad: padOf(node, role),
      label: `${name}, ${array.shape.join(" by ")}, heat map; picked ${indexed(name, index)}`}),
    strip(app, {array, leads, shown: channels.indexOf(shown[1]), names: channels.map(String),
      key: `${name} channels`,
      choose: (k) => (target ? app.choose([index[0], channels[k], ...index.slice(2)])
        : app.chooseChannel(role, channels[k]))}));
}

// Marks on a folded vector know their index; the sheet says which cell that is.
function placeMarks(marks, array, shown, matrix = false) {
  return marks.map((mark) => {
    if (mark.rect) return mark;
    const cell = planeOf(array, shown, matrix).cell(mark.index);
    return cell ? {rect: [...cell, 1, 1], kind: mark.kind} : null;
  }).filter(Boolean);
}


// Filters as a strip, a matrix as a map, a vector as the one number that counts.
function weights(app, lens, {role, name, array, index, word, target}) {
  const {marks} = marksOn(app, lens, role, index, array);
  const count = array.shape.length;
  if (count === 1 && !target) {
    return h("p", {class: "number", "data-role": role}, `${indexed(name, index)} = `,
      h("b", {}, array.whole ? four(array.at(index)) : "not kept"));
  }
  const choose = target ? (where) => app.choose(where) : null;
  if (target) marks.push(count >= 2 ? {rect: [...index.slice(-2), 1, 1], kind: "pick"}
    : {index, kind: "pick"});
  const leads = count === 4 ? Array.from({length: array.shape[0]}, (_, o) => [o, index[1]])
    .filter((one) => array.has(one)) : [];
  const numbers = leads.map(([o]) => o);
  const filters = count === 4 && strip(app, {array, leads,
    shown: numbers.indexOf(index[0]), names: numbers.map(String), key: `${name} filters`,
    large: array.shape[3] > 1, choose: (k) => (target
      ? app.choose([numbers[k], ...index.slice(1)]) : app.chooseFilter(numbers[k]))});
  const map = count !== 4 || target || !filters;
  return h("figure", {class: "card wide", "data-role": role}, caption(name, array, word),
    map && heatMap(app, {array, index, matrix: count === 2, name, choose,
      marks: count === 1 ? placeMarks(marks, array, index) : marks}), filters);
}

// Over the page's budget: which elements can be opened.
function chosenNote(app, lens) {
  const {model} = app;
  const {node} = model.step;
  if (!node.lenses) return null;
  const {letter, name} = model.target;
  const list = node.lenses[letter] ?? [];
  return h("p", {class: "note"},
    "This net is larger than what is kept of it: its arrays are thumbnails in 8 bits. In full there ",
    list.length ? `are ${list.length} elements of ${name}: ` : `is no element of ${name}. `,
    list.map(({index}, k) => h("button", {type: "button", class: "link", "data-key": `kept:${k}`,
      onclick: () => app.choose(index)}, indexed(name, index))));
}
