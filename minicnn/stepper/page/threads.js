// A CUDA kernel's threads, as the emulator recorded them: which cells a warp reads together, and
// one thread line by line.
import { clamp } from "./arrays.js";
import { listing } from "./code.js";
import { h, segments } from "./dom.js";
import { plural } from "./numbers.js";

const SECTOR = 32; // bytes that global memory comes in
const MOST = 32; // sectors drawn

export function threadsView(app) {
  const {model} = app;
  const {node, direction} = model.step;
  const all = app.launchesOf(node);
  const here = all.filter((launch) => launch.direction === direction);
  const list = here.length ? here : all;
  const launch = list.find(({kernel}) => kernel === app.kernel) ?? list[0];
  const access = launch.accesses[clamp(app.access, 0, launch.accesses.length - 1)];
  const at = clamp(app.walked, 0, launch.walk.length - 1);
  return [
    segments("Kernel", list.map(({kernel}) => [kernel, kernel]), launch.kernel,
      (kernel) => app.set({kernel, access: 0, walked: 0})),
    h("p", {class: "label file"}, `${launch.file}, grid (${launch.grid}), block (${launch.block})`),
    warp(app, launch, access),
    thread(app, launch, at),
  ];
}

// -- a warp -------------------------------------------------------------------------
function warp(app, launch, access) {
  if (!access) return h("p", {class: "note"}, launch.untraced ?? "Its first warp touches no array.");
  const unit = access.shared ? "cycle" : "sector";
  const text = launch.text.split("\n");
  return h("section", {class: "fork"},
    h("h2", {}, "The 32 threads of warp 0: which cells they touch together"),
    h("div", {class: "accesses"}, launch.accesses.map((one, k) => h("button", {
      type: "button", class: "access", "aria-pressed": String(one === access), "data-key": `access:${k}`,
      title: text[one.line - 1]?.trim(), onclick: () => app.set({access: k})},
    `line ${one.line}: ${one.kind} ${one.array}`,
    h("span", {class: one.cost > one.least ? "worse" : "quiet"},
      ` ${plural(one.cost, one.shared ? "cycle" : "sector")}, ${one.least} at best`)))),
    h("div", {class: "label"}, h("b", {}, access.array), ` by ${plural(access.lanes.length, "thread")}; a `
      + "number is the thread that touches the cell",
    access.shared ? "" : "; a frame is a sector of 32 bytes"),
    cells(access),
    h("p", {class: "note"}, access.cost <= access.least
      ? `As few ${unit}s as these bytes can come in.`
      : `${plural(access.cost, unit)} where ${access.least} would do: neighbouring threads touch `
        + `${access.shared ? "words of the same bank" : "cells that lie apart"}.`));
}

// The touched sectors, with the thread at each cell (several: the first, and a plus).
function cells({index, lanes, item}) {
  const width = Math.max(1, SECTOR / item);
  const owners = new Map();
  index.forEach((cell, k) => owners.set(cell, [...(owners.get(cell) ?? []), lanes[k]]));
  const sectors = [...new Set(index.map((cell) => Math.floor(cell / width)))].sort((a, b) => a - b);
  return h("div", {class: "memory", role: "img", "aria-label": `${sectors.length} sectors touched`},
    sectors.slice(0, MOST).map((sector) => h("div", {class: "sector"},
      h("small", {}, String(sector * width)),
      h("div", {}, Array.from({length: width}, (_, k) => {
        const mine = owners.get(sector * width + k);
        return h("i", {class: mine ? "hit" : null, title: mine
          ? `cell ${sector * width + k}: thread ${mine.join(", ")}` : null},
        mine ? `${mine[0]}${mine.length > 1 ? "+" : ""}` : "");
      })))),
    sectors.length > MOST && h("span", {class: "quiet"}, `and ${sectors.length - MOST} sectors more`));
}

// -- a thread -----------------------------------------------------------------------
function thread(app, launch, at) {
  if (!launch.walk.length) return h("p", {class: "note"}, launch.stopped ?? "");
  const step = launch.walk[at];
  const move = (by) => app.set({walked: clamp(at + by, 0, launch.walk.length - 1)});
  const lines = launch.text.split("\n");
  const first = Math.max(0, step.line - 9);
  const shown = lines.slice(first, Math.max(step.last, step.line) + 8).join("\n");
  return h("section", {},
    h("h2", {}, "Thread 0, line by line"),
    h("div", {class: "buttons"},
      h("button", {type: "button", class: "button", "data-key": "walk:back", disabled: at === 0,
        "aria-label": "Line before", onclick: () => move(-1)}, "‹"),
      h("button", {type: "button", class: "button", "data-key": "walk:next",
        "aria-label": "Next line", disabled: at === launch.walk.length - 1,
        onclick: () => move(1)}, "›"),
      h("span", {class: "quiet"}, `line ${at + 1} of ${launch.walk.length}`)),
    h("p", {class: "total", "data-walk": String(at)}, [...step.changes, ...step.memory].join(", ") || "no change"),
    listing(shown, first + 1, [step.line - first - 1, step.last - first - 1], step.line - first - 1),
    launch.stopped && h("p", {class: "note"}, `The walk ends here: ${launch.stopped}.`));
}
