// The page: a model of what was recorded, and everything drawn anew when one moves in it.
import { clamp, unravel } from "./arrays.js";
import { byId } from "./dom.js";
import { drawCards } from "./cards.js";
import { Graph } from "./graph.js";
import { drawHead, drawTop } from "./header.js";
import { openHelp } from "./help.js";
import { listen } from "./keys.js";
import { drawLens } from "./lens_panel.js";
import { Model } from "./model.js";
import { openLens } from "./lenses.js";
import { START } from "./threads.js";
import { drawTimeline } from "./timeline.js";

const SPEED = 1100; // milliseconds a step, when playing

class App {
  constructor(data) {
    this.model = new Model(data);
    this.graph = new Graph(this.model, byId("graph"), (place) => this.goto(place));
    this.pages = {}; // of strips with more than 16 maps
    this.shownOuter = null; // the channel that the lens shows, if one was chosen
    this.drawing = "loops";
    Object.assign(this, {kernel: null, ...START}); // what the Threads tab shows
    this.playing = null;
    for (const name of ["draw", "help", "play", "changeTheme"]) this[name] = this[name].bind(this);
  }

  // -- drawing ---------------------------------------------------------------------
  draw() {
    const {model} = this;
    const root = document.documentElement;
    root.dataset.direction = model.step.direction;
    const lens = this.lens();
    if (model.depth === 2 && !lens?.products?.length) model.depth = 1;
    drawTop(this);
    this.graph.draw();
    drawHead(this, lens);
    drawCards(this, lens);
    drawLens(this, lens);
    drawTimeline(this);
    root.dataset.step = String(model.place + 1);
    root.dataset.depth = String(model.depth);
  }

  // The lens on the pick.
  lens() {
    const {model} = this;
    const {node} = model.step;
    const {letter, array} = model.target;
    return array && array.size ? openLens(node, letter, model.pick, model.image) : null;
  }

  // Which channel (filter, image) of the lens is shown: the term's, the chosen one, or the one that
  // weighs most.
  outer(lens) {
    if (!lens?.products || lens.sizes.length < 3) return 0;
    const inner = lens.products.length / lens.sizes[0];
    if (this.model.depth === 2) return Math.floor(this.term(lens) / inner);
    if (this.shownOuter !== null && this.shownOuter < lens.sizes[0]) return this.shownOuter;
    let [best, place] = [-1, 0];
    for (let k = 0; k < lens.sizes[0]; k++) {
      let size = 0;
      for (let m = k * inner; m < (k + 1) * inner; m++) size += Math.abs(lens.products[m]);
      if (size > best) [best, place] = [size, k];
    }
    return place;
  }

  term(lens) { return clamp(this.model.term, 0, (lens?.products?.length ?? 1) - 1); }

  termPlace(lens) { return unravel(this.term(lens), lens.sizes); }

  nameOf(node, letter) {
    return this.model.tensors[node.tensors[letter]].name;
  }

  launchesOf(node) {
    return this.model.launches.filter((launch) => launch.operation === node.operation);
  }

  tip(event, text) {
    const tip = byId("tip");
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const width = tip.offsetWidth;
    tip.style.left = `${clamp(event.clientX + 12, 4, window.innerWidth - width - 4)}px`;
    tip.style.top = `${Math.max(4, event.clientY - 32)}px`;
  }

  // -- moving ----------------------------------------------------------------------
  change(act) {
    act();
    this.tip(null);
    this.draw();
  }

  goto(place) {
    this.change(() => {
      this.model.goto(place);
      this.shownOuter = null;
      Object.assign(this, START);
    });
  }

  flip() {
    this.change(() => {
      if (this.model.flip()) this.shownOuter = null;
    });
  }

  jump(node) {
    const {model} = this;
    const {forward, backward} = model.nodes[node];
    this.goto(model.backward && backward !== undefined ? backward : forward);
  }

  goDepth(depth) {
    this.change(() => {
      const {model} = this;
      const lens = this.lens();
      const deepest = lens?.products?.length ? 2 : model.target.array ? 1 : 0;
      if (depth === 2 && model.depth < 2 && lens?.products?.length) {
        model.term = this.outer(lens) * (lens.products.length / (lens.sizes.length < 3 ? 1 : lens.sizes[0]));
        if (lens.sizes.length < 3) model.term = 0;
      }
      model.depth = clamp(depth, 0, deepest);
      if (depth > 0 && model.tab !== "code") model.tab = "lens";
    });
  }

  choose(index) {
    this.change(() => {
      this.model.choose(index);
      this.model.depth = Math.max(1, Math.min(this.model.depth, 1));
      this.shownOuter = null;
    });
  }

  // A click on an input's map: the number of the output that its value goes into.
  chooseInput(role, index) {
    const {model} = this;
    const {node} = model.step;
    const tensor = role === "dy" ? node.output : node.tensors[role];
    this.change(() => {
      model.followFrom(tensor, index);
      model.depth = 1;
    });
  }

  chooseChannel(role, channel) {
    const lens = this.lens();
    if (lens?.products && lens.sizes.length >= 3 && lens.outer?.[0] !== "image") {
      for (let k = 0; k < lens.sizes[0]; k++) if (lens.outer?.[1](k) === channel) this.showOuter(k);
    } else {
      const {model} = this;
      const {node} = model.step;
      const tensor = role === "dy" ? node.output : node.tensors[role];
      const pick = model.pickOf(tensor);
      this.chooseInput(role, [pick[0], channel, ...pick.slice(2)]);
    }
  }

  chooseFilter(o) {
    const {model} = this;
    if (model.backward) {
      const lens = this.lens();
      for (let k = 0; k < (lens?.sizes[0] ?? 0); k++) if (lens.outer?.[1](k) === o) this.showOuter(k);
    } else {
      this.choose([model.pick[0], o, ...model.pick.slice(2)]);
    }
  }

  showOuter(k) {
    this.change(() => {
      this.shownOuter = k;
      if (this.model.depth === 2) this.model.depth = 1;
    });
  }

  chooseTerm(k) {
    this.change(() => {
      this.model.depth = 2;
      this.model.term = k;
    });
  }

  moveTerm(by) {
    this.change(() => {
      const lens = this.lens();
      this.model.term = clamp(this.term(lens) + by, 0, lens.products.length - 1);
    });
  }

  movePick(down, right) {
    const {model} = this;
    const {array} = model.target;
    const index = [...model.pick];
    const count = index.length;
    if (!count) return;
    if (count > 1) index[count - 2] = clamp(index[count - 2] + down, 0, array.shape[count - 2] - 1);
    index[count - 1] = clamp(index[count - 1] + right, 0, array.shape[count - 1] - 1);
    this.choose(index);
  }

  moveChannel(by) {
    const {model} = this;
    const {array} = model.target;
    if (!array || array.shape.length < 3) return;
    const index = [...model.pick];
    const axis = index.length - 3;
    index[axis] = clamp(index[axis] + by, 0, array.shape[axis] - 1);
    this.choose(index);
  }

  chooseGradient(letter) {
    this.change(() => {
      this.model.of[this.model.step.node.place] = letter;
      this.model.term = 0;
      this.model.depth = Math.min(this.model.depth, 1);
      this.shownOuter = null;
    });
  }

  nextGradient() {
    const {model} = this;
    const letters = model.gradients(model.step.node);
    if (model.backward && letters.length > 1) {
      this.chooseGradient(letters[(letters.indexOf(model.target.letter) + 1) % letters.length]);
    }
  }

  set(values) { this.change(() => Object.assign(this, values)); }

  chooseTab(tab) { this.change(() => { this.model.tab = tab; }); }

  chooseDrawing(name) { this.change(() => { this.drawing = name; }); }

  chooseImage(n) {
    this.change(() => {
      const {model} = this;
      model.image = n;
      const {output, operation} = model.step.node;
      const pick = model.pickOf(output);
      if (pick.length > 1 && operation !== "Moments") model.followFrom(output, [n, ...pick.slice(1)]);
      else model.followFrom(model.nodes[0].output, [n, ...model.pickOf(model.nodes[0].output).slice(1)]);
    });
  }

  changeTheme() {
    const root = document.documentElement;
    this.change(() => { root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"; });
  }

  play() {
    clearInterval(this.playing);
    this.playing = this.playing ? null : setInterval(() => {
      if (this.model.place === this.model.steps.length - 1) this.play();
      else this.goto(this.model.place + 1);
    }, SPEED);
    this.draw();
  }

  help() { openHelp(); }
}

document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches
  ? "dark" : "light";
const app = new App(JSON.parse(byId("data").textContent));
app.open = (node, letter, index) => openLens(app.model.nodes[node], letter, index, 0);
globalThis.stepper = app; // for the console: stepper.model, stepper.open(0, "y", [0, 3, 5, 5])
listen(app);
app.draw();
