// All steps: forward runs right on top, backward returns left beneath; a column is an operation.
import { byId, fill, h } from "./dom.js";
import { shortest } from "./fold.js";

export function drawTimeline(app) {
  const {model} = app;
  const {nodes, step, place} = model;
  app.slider ??= makeSlider(app);
  const {slider, ticks, names} = app.slider;
  for (const {element, at} of ticks) {
    const state = at === place ? "now" : at < place ? "done" : "";
    if (element.className !== state) element.className = state;
  }
  const wide = nodes.length <= 20;
  nodes.forEach((node, k) => {
    const now = node === step.node;
    if (names[k].className === (now ? "now" : "") && names[k].childNodes.length) return;
    names[k].className = now ? "now" : "";
    names[k].replaceChildren(now ? h("b", {}, shortest(node)) : wide ? shortest(node) : "");
  });
  slider.setAttribute("aria-valuenow", String(place + 1));
  slider.setAttribute("aria-valuetext", `${step.node.name}, ${step.direction}`);
  fill(byId("timeline"),
    h("div", {class: "ways", "aria-hidden": "true"}, h("span", {class: "forward"}, "forward →"),
      h("span", {class: "backward"}, "← backward")),
    slider,
    h("div", {class: "buttons"},
      h("button", {type: "button", class: "button", "data-key": "back", "aria-label": "Step before",
        disabled: place === 0, onclick: () => app.goto(place - 1)}, "‹"),
      h("button", {type: "button", class: "button play", "data-key": "play",
        onclick: app.play}, app.playing ? "Pause" : "Play"),
      h("button", {type: "button", class: "button", "data-key": "next", "aria-label": "Next step",
        disabled: place === model.steps.length - 1, onclick: () => app.goto(place + 1)}, "›")));
  keepInside(slider.querySelector(".now b"), slider);
}

// The slider is made once; later only the classes of its ticks change.
function makeSlider(app) {
  const {nodes, steps} = app.model;
  const ticks = [];
  const row = (direction) => h("div", {class: `row ${direction}`}, nodes.map((node) => {
    const at = node[direction];
    const element = h("i", {class: at === undefined ? "none" : "",
      "data-step": at === undefined ? null : String(at),
      title: at === undefined ? null : `${node.name}, ${direction}`});
    if (at !== undefined) ticks.push({element, at});
    return element;
  }));
  const go = (event) => {
    const tick = document.elementFromPoint(event.clientX, event.clientY)
      ?.closest?.("#timeline [data-step]");
    if (tick) app.goto(Number(tick.dataset.step));
  };
  const names = nodes.map(() => h("span", {}));
  const dense = nodes.length > 60;
  const slider = h("div", {class: dense ? "track dense" : "track",
    role: "slider", tabindex: "0", "data-key": "slider",
    "aria-label": "Steps", "aria-valuemin": "1", "aria-valuemax": String(steps.length),
    onpointerdown: go, onpointermove: (event) => { if (event.buttons) go(event); }},
  row("forward"), h("div", {class: nodes.length <= 20 ? "names wide" : "names"}, names),
  row("backward"));
  return {slider, ticks, names};
}

// The current step's name is centred below its column, but stays inside the track.
function keepInside(name, track) {
  name.style.transform = "";
  const [own, all] = [name.getBoundingClientRect(), track.getBoundingClientRect()];
  const out = Math.max(0, all.left - own.left) - Math.max(0, own.right - all.right);
  if (out) name.style.transform = `translateX(${out}px)`;
}
