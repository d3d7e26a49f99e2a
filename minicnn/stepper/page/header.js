// The top bar, and the heading of a step: where one is, what it computes, which line ran it.
import { byId, fill, h, segments } from "./dom.js";
import { bytes, duration, eight, four, plural, sizes } from "./numbers.js";

export function drawTop(app) {
  const {model} = app;
  const dark = document.documentElement.dataset.theme === "dark";
  const images = model.nodes[0].y.shape.length > 1 ? model.nodes[0].y.shape[0] : 1;
  fill(byId("top"),
    h("div", {class: "brand"}, "minicnn ", h("span", {}, "stepper")),
    jump(app),
    images > 1 && h("select", {"aria-label": "Image of the batch", "data-key": "image",
      onchange: (event) => app.chooseImage(Number(event.target.value))},
    Array.from({length: images}, (_, n) => h("option", {value: n, selected: n === model.image},
      `image ${n + 1} of ${images}`))),
    h("div", {class: "space"}),
    segments("Direction", [["forward", "Forward"], ["backward", "Backward"]], model.step.direction,
      (direction) => { if (direction !== model.step.direction) app.flip(); }, "direction"),
    h("button", {type: "button", class: "button graphtoggle", "data-key": "graph",
      "aria-expanded": String(document.body.classList.contains("showgraph")),
      onclick: () => { document.body.classList.toggle("showgraph"); app.draw(); }}, "Graph"),
    h("button", {type: "button", class: "button icon", "data-key": "theme",
      "aria-label": dark ? "Light page" : "Dark page", onclick: app.changeTheme}, dark ? "☀" : "☾"),
    h("button", {type: "button", class: "button icon", "data-key": "help", "aria-label": "Keys",
      onclick: app.help}, "?"));
}

// A list of all operations to jump to; made once, for a large net's is long.
function jump(app) {
  const {model} = app;
  app.jumpList ??= jumpList(app);
  app.jumpList.value = String(model.step.node.place);
  return app.jumpList;
}

function jumpList(app) {
  const {model} = app;
  return h("select", {id: "jump", "aria-label": "Operation", "data-key": "jump",
    onchange: (event) => app.jump(Number(event.target.value))},
  model.nodes.map((node) => h("option", {value: node.place}, node.name)));
}

export function drawHead(app, lens) {
  const {model} = app;
  const {node, direction} = model.step;
  const back = model.backward;
  const [equation, ...rest] = (back ? backFormula(app, node) : node.formula).split("\n");
  fill(byId("head"),
    crumbs(app, lens),
    h("h1", {}, breakable(node.name), `${sameWord(node) ? "" : `: ${node.operation}`}, `,
      h("em", {}, direction)),
    h("p", {class: "formula"}, equation, rest.map((line) => h("span", {class: "shape"}, line))),
    lens && h("p", {class: "formula here"}, `${lens.name} = ${lens.formula} = `,
      h("b", {}, four(lens.sum))),
    !lens && model.target.array && h("p", {class: "formula here"}, value(app)),
    h("div", {class: "source"}, h("span", {}, node.site.at), h("code", {}, node.site.source || "?"),
      back && node.back.run_by?.source ? [h("span", {}, "run by"),
        h("code", {}, node.back.run_by.source)] : null,
      h("span", {class: "facts"}, facts(node, back))));
}

function value(app) {
  const {array, name} = app.model.target;
  const index = app.model.pick;
  return array.whole ? `${name}[${index}] = ${eight(array.at(index))}` : "";
}

// The equation of the gradient that is looked at, first.
function backFormula(app, node) {
  const lines = node.back.formula.split("\n");
  const {letter} = app.model.target;
  const own = lines.filter((line) => line.startsWith(`d${letter} `) || line.startsWith(`d${letter}[`));
  const others = lines.filter((line) => !/^d\w+(\[[^\]]*\])? =/.test(line));
  return [...(own.length ? own : lines), ...(own.length ? others : [])].join("\n");
}

function facts(node, back) {
  const list = [node.detail];
  if (node.macs && !back) list.push(plural(node.macs, "MAC"));
  list.push(duration(back ? node.back.seconds : node.seconds));
  if (!back && node.memory) list.push(`${sizes(node.y.shape)}: ${bytes(node.memory)}`);
  return list.join(", ");
}

// A long name breaks after its dots.
const breakable = (name) => name.split(".").flatMap(
  (part, k) => (k ? [".", h("wbr", {}), part] : [part]));

function sameWord(node) {
  const plain = (text) => text.toLowerCase().replace(/[^a-z]/g, "");
  return plain(node.name.split(".").pop()) === plain(node.operation);
}

// Pass, value, term: the three depths, with what the arrows do at this one.
function crumbs(app, lens) {
  const {model} = app;
  const parts = [[0, `Step ${model.place + 1} of ${model.steps.length}`]];
  if (model.depth > 0) parts.push([1, lens?.name ?? "value"]);
  if (model.depth > 1) parts.push([2, `term ${app.term(lens) + 1} of ${lens.products.length}`]);
  const hints = [
    [["←", "→"], "step", ["Enter"], "look inside"],
    [["←", "→", "↑", "↓"], "move the pick", ["Enter"], "terms", ["Esc"], "out"],
    [["←", "→"], "term by term", ["Esc"], "out"],
  ][model.depth];
  return h("div", {class: "crumbs"}, parts.map(([depth, text], k) => [
    k ? h("span", {"aria-hidden": "true"}, "›") : null,
    h("button", {type: "button", "data-key": `depth:${depth}`,
      "aria-current": depth === model.depth ? "true" : null, onclick: () => app.goDepth(depth)}, text)]),
  h("span", {class: "hint"}, hints.map((hint) => (Array.isArray(hint)
    ? hint.map((key) => h("kbd", {}, key)) : ` ${hint} `))));
}
