// What was recorded, and where one is in it.
import { NdArray, clamp } from "./arrays.js";
import { down, up } from "./follow.js";

export class Model {
  constructor(data) {
    this.title = data.title;
    this.sources = data.sources;
    this.launches = data.launches;
    this.arrays = data.arrays.map((raw) => new NdArray(raw));
    this.tensors = data.tensors.map((tensor) => ({...tensor, array: this.arrays[tensor.array]}));
    this.nodes = data.nodes.map((raw, place) => this.node(raw, place));
    this.steps = data.steps.map(([place, direction]) => ({node: this.nodes[place], direction}));
    this.steps.forEach((step, k) => { step.node[step.direction] = k; });
    this.place = 0;
    this.depth = 0; // 0 pass, 1 value, 2 term
    this.term = 0;
    this.tab = "lens";
    this.image = 0;
    this.of = {}; // node -> letter of the gradient that backward looks at
    this.own = {}; // "node letter" -> index of a picked weight
    this.picks = new Map();
    this.followFrom(...this.firstPick());
  }

  // An operation with its arrays in place of their numbers.
  node(raw, place) {
    const array = (number) => (number === null || number === undefined ? null : this.arrays[number]);
    const all = (numbers) => Object.fromEntries(
      Object.entries(numbers).map(([name, number]) => [name, array(number)]));
    const node = {...raw, place, loss: raw.operation === "SoftmaxCrossEntropy"};
    node.tensors = raw.inputs;
    node.inputs = Object.fromEntries(Object.entries(raw.inputs).map(
      ([letter, number]) => [letter, number === null ? null : this.tensors[number].array]));
    node.y = this.tensors[raw.output].array;
    node.z = array(raw.z);
    node.extra = all(raw.extra);
    if (raw.back) {
      node.back = {...raw.back, grads: all(raw.back.grads), dy: array(raw.back.dy),
        dz: array(raw.back.dz)};
    }
    node.whole = !raw.lenses;
    return node;
  }

  // -- where one is -----------------------------------------------------------
  get step() { return this.steps[this.place]; }
  get backward() { return this.step.direction === "backward"; }

  goto(place) {
    this.place = clamp(place, 0, this.steps.length - 1);
    this.term = 0;
    this.depth = Math.min(this.depth, 1);
    if (this.backward && this.tab === "im2col") this.tab = "lens";
  }

  flip() {
    const {node, direction} = this.step;
    const other = node[direction === "forward" ? "backward" : "forward"];
    if (other === undefined) return false;
    const depth = this.depth;
    this.goto(other);
    this.depth = Math.min(depth, 1);
    return true;
  }

  // The letters of the gradients that a node's backward gives.
  gradients(node) {
    return Object.entries(node.back?.grads ?? {}).filter(([, g]) => g).map(([letter]) => letter);
  }

  // What a step looks into: {letter, array, name}: "y", or a gradient's letter.
  get target() {
    const {node, direction} = this.step;
    if (direction === "forward") return {letter: "y", array: node.y, name: node.loss ? "L" : "y"};
    const letters = this.gradients(node);
    const letter = letters.includes(this.of[node.place]) ? this.of[node.place] : letters[0];
    return {letter, array: node.back.grads[letter] ?? null, name: `d${letter}`};
  }

  // -- the pick ---------------------------------------------------------------
  // The largest output of the first operation, in the picture of it that has most to see.
  firstPick() {
    const node = this.nodes[0];
    if (node.lenses) return [node.output, node.lenses.y?.[0]?.index ?? zeros(node.y)];
    let [best, place] = [-Infinity, 0];
    node.y.values.forEach((value, k) => { if (value > best) [best, place] = [value, k]; });
    const index = node.y.strides.map((stride, k) => Math.floor(place / stride) % node.y.shape[k]);
    return [node.output, index];
  }

  // Picks an element of a tensor, and with it one of every other that it leads to or comes from.
  followFrom(tensor, index) {
    this.anchor = tensor;
    this.picks = new Map([[tensor, index]]);
    const queue = [tensor];
    while (queue.length) {
      const here = queue.shift();
      const given = this.picks.get(here);
      const {node: maker, users} = this.tensors[here];
      if (maker !== null) {
        const node = this.nodes[maker];
        for (const [letter, input] of Object.entries(node.tensors)) {
          if (input === null || this.tensors[input].kind === "parameter") continue;
          this.follow(queue, input, () => up(node, letter, given));
        }
      }
      for (const [user, letter] of users) {
        const node = this.nodes[user];
        this.follow(queue, node.output, () => down(node, letter, given));
      }
    }
  }

  follow(queue, tensor, find) {
    if (this.picks.has(tensor)) return;
    const {shape} = this.tensors[tensor].array;
    const index = find();
    this.picks.set(tensor, shape.map((n, k) => clamp(index?.[k] ?? 0, 0, n - 1)));
    queue.push(tensor);
  }

  pickOf(tensor) {
    return this.picks.get(tensor) ?? this.tensors[tensor].array.shape.map(() => 0);
  }

  // The picked element of what the current step looks into.
  get pick() {
    const {node} = this.step;
    const {letter, array} = this.target;
    if (!array) return [];
    const tensor = letter === "y" ? node.output : node.tensors[letter];
    const index = this.tensors[tensor].kind === "parameter" ? this.pickOfWeight(node, letter, array)
      : this.pickOf(tensor);
    // Over the page's budget few elements have a lens: one of those, unless another was picked here.
    const kept = node.lenses?.[letter] ?? [];
    const known = kept.some((lens) => lens.index.every((k, d) => k === index[d]));
    const here = this.anchor === tensor || this.own[`${node.place} ${letter}`];
    return known || here || !kept.length ? index : kept[0].index;
  }

  pickOfWeight(node, letter, array) {
    const own = this.own[`${node.place} ${letter}`];
    const index = own ?? up(node, letter, this.pickOf(node.output)) ?? [];
    return array.shape.map((n, k) => clamp(index[k] ?? 0, 0, n - 1));
  }

  choose(index) {
    const {node} = this.step;
    const {letter} = this.target;
    this.term = 0;
    const tensor = letter === "y" ? node.output : node.tensors[letter];
    if (letter !== "y" && this.tensors[tensor].kind === "parameter") {
      this.own[`${node.place} ${letter}`] = index;
    } else {
      this.followFrom(tensor, index);
    }
  }

  // Where the gradient of a node's output came from: its users, each with its share.
  shares(node) {
    return this.tensors[node.output].users
      .map(([place, letter]) => ({node: this.nodes[place], letter,
        grad: this.nodes[place].back?.grads[letter]}))
      .filter(({grad}) => grad);
  }
}

const zeros = (array) => array.shape.map(() => 0);
