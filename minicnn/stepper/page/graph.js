// The net as a graph, with the values (in backward the gradients) as thumbnails.
import { paint } from "./colour.js";
import { fill, h } from "./dom.js";
import { blocksOf, visible } from "./fold.js";
import { layOut } from "./layout.js";
import { plural, sizes } from "./numbers.js";

const [BOX, PITCH, WIDTH, TRACK] = [28, 42, 214, 11];
const THUMB = 44; // cells along a side, at most

export class Graph {
  constructor(model, parent, goto) {
    Object.assign(this, {model, parent, goto});
    this.opened = new Set();
    this.tree = blocksOf(model.nodes);
    this.inputs = model.tensors.map((tensor, number) => ({...tensor, number}))
      .filter(({kind, node, array}) => kind === "input" && node === null && !array.integer
        && array.size > 1);
  }

  draw() {
    const {model} = this;
    const current = model.step.node;
    const boxes = [
      ...this.inputs.map((tensor) => ({key: `in${tensor.number}`, name: tensor.name,
        label: tensor.name, nodes: [], tensor})),
      ...visible(this.tree, model.nodes.length, current, this.opened),
    ];
    const lines = this.lines(boxes);
    const plan = layOut(boxes.length, lines);
    const tracks = Math.min(plan.tracks * TRACK, 60);
    const width = WIDTH - tracks;
    const x = ([rank, of]) => ((rank + 0.5) * width) / of;
    const y = (row) => row * PITCH + 2;
    const height = plan.rows * PITCH;
    const svg = h("svg", {viewBox: `0 0 ${WIDTH} ${height}`, width: WIDTH, height,
      "aria-hidden": "true"}, plan.lines.map((line) => this.line(line, plan, boxes, x, y, width)));
    const all = boxes.map((box, k) => this.box(box, plan.boxes[k], x, y, width));
    const wrap = h("div", {class: "graph", style: `width:${WIDTH}px;height:${height}px`}, svg, all);
    fill(this.parent, h("p", {class: "about"}, model.title), wrap);
    this.parent.querySelector("[aria-current]")?.scrollIntoView?.({block: "nearest"});
  }

  // Lines between boxes: what one makes and the other reads.
  lines(boxes) {
    const {model} = this;
    const home = new Map();
    boxes.forEach((box, k) => box.nodes.forEach((node) => home.set(node.place, k)));
    const found = new Map();
    const add = (from, to) => { if (from !== to) found.set(`${from} ${to}`, [from, to]); };
    boxes.forEach((box, k) => {
      for (const tensor of box.tensor ? [box.tensor.number] : box.nodes.map((node) => node.output)) {
        for (const [user] of model.tensors[tensor].users) add(k, home.get(user));
      }
    });
    return [...found.values()];
  }

  line(line, plan, boxes, x, y, width) {
    const {model} = this;
    const [from, to] = [plan.boxes[line.from], plan.boxes[line.to]];
    const [x0, y0] = [x(from.lane), y(from.row) + BOX];
    const [x1, y1] = [x(to.lane), y(to.row)];
    const on = boxes[line.to].nodes.includes(model.step.node);
    let path = `M${x0} ${y0}`;
    if (line.outside) {
      const right = width + 5 + (line.track * Math.min(plan.tracks * TRACK, 60)) / plan.tracks;
      const [a, b] = [y(from.row) + BOX / 2, y(to.row) + BOX / 2];
      const [start, end] = [x0 + this.half(from, width), x1 + this.half(to, width)];
      path = `M${start} ${a}H${right - 6}q6 0 6 6V${b - 6}q0 6 -6 6H${end}`;
    } else {
      const points = [...line.through.map(([row, ...lane]) => [x(lane), y(row) + BOX / 2]), [x1, y1]];
      let [px, py] = [x0, y0];
      for (const [nx, ny] of points) {
        const middle = (py + ny) / 2;
        path += px === nx ? `V${ny}` : `C${px} ${middle} ${nx} ${middle} ${nx} ${ny}`;
        [px, py] = [nx, ny];
      }
    }
    return h("path", {d: path, class: on ? "edge on" : "edge"});
  }

  half({lane: [, of]}, width) {
    return (width / of - 6) / 2;
  }

  box(box, {row, lane}, x, y, width) {
    const {model} = this;
    const half = this.half({lane}, width);
    const current = box.nodes.includes(model.step.node);
    const last = box.nodes[box.nodes.length - 1];
    const shape = box.tensor ? box.tensor.array.shape : last.y.shape;
    const seen = box.tensor || box.nodes.some((node) => this.passed(node));
    const narrow = half < 50;
    const small = half < 75 ? null : h("small", {}, box.folded ? plural(box.nodes.length, "op")
      : shape.length ? sizes(shape.slice(1)) : this.number(last));
    const canvas = half < 38 ? null : h("canvas", {width: 1, height: 1});
    if (canvas && seen) this.thumbnail(canvas, box, last);
    const go = () => this.open(box);
    return h("button", {
      type: "button", "data-key": `box:${box.key}`, onclick: go,
      class: ["box", current && "current", !seen && "todo", box.folded && "folded",
        narrow && "narrow"].filter(Boolean).join(" "),
      style: `left:${x(lane) - half}px;top:${y(row)}px;width:${2 * half}px;height:${BOX}px`,
      "aria-current": current ? "step" : null, title: `${box.name}, ${sizes(shape)}`,
      "aria-label": `${box.name}${box.folded ? `, ${box.nodes.length} operations, folded` : ""}`,
    }, canvas, h("span", {}, narrow ? shortened(box.label) : box.label), small);
  }

  // Whether the walk has come to a node, or beyond.
  passed(node) {
    return node.forward <= this.model.place;
  }

  number(node) {
    const value = node.y.whole ? node.y.at([]) : NaN;
    return Number.isFinite(value) ? value.toPrecision(3) : "";
  }

  // The picked channel of the output, or of its gradient where backward has come.
  thumbnail(canvas, box, node) {
    const {model} = this;
    const tensor = box.tensor ? box.tensor.number : node.output;
    let {array} = model.tensors[tensor];
    if (node?.back && node.backward <= model.place && node.back.dy) array = node.back.dy;
    const pick = model.pickOf(tensor);
    const map = array.map(pick.slice(0, -2)) ?? array.map(array.raw.maps[0]);
    if (!map || array.size < 2) return;
    const folded = folding(map);
    const step = Math.max(1, Math.ceil(Math.max(folded.rows, folded.columns) / THUMB));
    paint(canvas, {rows: Math.ceil(folded.rows / step), columns: Math.ceil(folded.columns / step),
      value: (r, c) => folded.value(r * step, c * step)}, array.top);
  }

  open(box) {
    const {model} = this;
    if (box.tensor) {
      const [user] = model.tensors[box.tensor.number].users[0];
      this.goto(model.nodes[user].forward);
      return;
    }
    const back = model.backward;
    const node = back ? box.nodes[box.nodes.length - 1] : box.nodes[0];
    this.goto((back ? node.backward : node.forward) ?? node.forward);
  }
}

// "branch3x3.conv" has no room in a narrow box: its last part.
function shortened(label) {
  return label.slice(label.lastIndexOf(".") + 1);
}

// A vector as a sheet of several rows, so that it can be seen.
export function folding(map) {
  if (map.rows > 1 || map.columns <= 24) return map;
  const columns = Math.ceil(Math.sqrt(map.columns * 1.6));
  return {rows: Math.ceil(map.columns / columns), columns, shrunk: map.shrunk, folded: columns,
    value: (r, c) => (r * columns + c < map.columns ? map.value(0, r * columns + c) : 0)};
}
