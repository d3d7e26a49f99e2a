// All steps: forward runs right on top, backward returns left beneath; a column is an operation.
import { byId, fill, h } from "./dom.js";

export function drawTimeline(app) {
  const {model} = app;
  const {nodes, step, place} = model;
  const row = (direction) => h("div", {class: `row ${direction}`}, nodes.map((node) => {
    const at = node[direction];
    const state = at === undefined ? "none" : at === place ? "now" : at < place ? "done" : "";
    return h("i", {class: state, "data-step": at === undefined ? null : String(at),
      title: at === undefined ? null : `${node.name}, ${direction}`});
  }));
  const column = (event) => {
    const target = event.target.closest("[data-step]") ?? nearest(event);
    if (target) app.goto(Number(target.dataset.step));
  };
  const nearest = (event) => document.elementFromPoint(event.clientX, event.clientY)
    ?.closest?.("#timeline [data-step]");
  const wide = nodes.length <= 20;
  const slider = h("div", {class: "track", role: "slider", tabindex: "0", "data-key": "slider",
    "aria-label": "Steps", "aria-valuemin": "1", "aria-valuemax": String(model.steps.length),
    "aria-valuenow": String(place + 1), "aria-valuetext": `${step.node.name}, ${step.direction}`,
    onpointerdown: column, onpointermove: (event) => { if (event.buttons) column(event); }},
  row("forward"),
  h("div", {class: wide ? "names wide" : "names"}, nodes.map((node) => h("span", {
    class: node === step.node ? "now" : null}, wide || node === step.node
    ? shortest(node) : ""))),
  row("backward"));
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
}

// A column has little room: of a name in a block its last part.
const shortest = (node) => (node.loss ? "loss" : node.name.split(".").pop());
