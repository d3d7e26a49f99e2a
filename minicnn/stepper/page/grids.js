// Small matrices as coloured cells with their numbers.
import { css, ink, rgb } from "./colour.js";
import { h } from "./dom.js";
import { cellText, eight, largestOf, unitOf } from "./numbers.js";

const MOST = 12; // rows or columns with numbers; a larger matrix has cells without

// {rows, columns, value(r, c), name, note, mark: [r, c], markKind, empty(r, c), choose(r, c)}
export function numberGrid({rows, columns, value, name, note = "", mark, markKind = "current",
  empty = () => false, choose}) {
  const values = [];
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) values.push(value(r, c));
  const shown = values.filter((_, k) => !empty(Math.floor(k / columns), k % columns));
  const [top, power] = [largestOf(shown), unitOf(shown)];
  const plain = Math.max(rows, columns) > MOST;
  const size = plain ? Math.max(3, Math.min(14, Math.floor(180 / Math.max(rows, columns)))) : null;
  const cells = values.map((number, k) => {
    const [r, c] = [Math.floor(k / columns), k % columns];
    const none = empty(r, c);
    const colour = rgb(number, top);
    const marked = mark && mark[0] === r && mark[1] === c;
    return h(choose && !plain ? "button" : "div", {
      type: choose && !plain ? "button" : null, tabindex: choose && !plain ? "-1" : null,
      class: ["cell", none && "none", marked && markKind].filter(Boolean).join(" "),
      style: none ? null : `background:${css(colour)};color:${ink(colour)}`,
      title: none ? "outside" : eight(number), "data-value": none ? null : String(number),
      onclick: choose && (() => choose(r, c)),
    }, plain ? null : none ? "" : cellText(number, power));
  });
  return h("div", {class: "grid"},
    h("div", {class: "label"}, h("b", {}, name), note && ` ${note}`,
      power ? ` in 1e${power > 0 ? "+" : ""}${power}` : ""),
    h("div", {class: plain ? "cells plain" : "cells", role: "img", "data-grid": name,
      "aria-label": `${name} ${note}, ${rows} by ${columns} numbers`,
      style: `grid-template-columns:repeat(${columns},${plain ? `${size}px` : "var(--cell)"});`
        + `${plain ? `grid-auto-rows:${size}px` : ""}`}, cells));
}

// Grids with signs between them: a × b = c.
export function equation(grids, signs) {
  return h("div", {class: "equation"}, grids.map((grid, k) => [
    k ? h("div", {class: "sign"}, signs[k - 1]) : null, grid]));
}
