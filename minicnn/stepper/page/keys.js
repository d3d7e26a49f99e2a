// What the keys do.
import { byId } from "./dom.js";

export function listen(app) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    const target = event.target;
    if (target.matches("select, input")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    const onButton = target.matches("button") && (event.key === "Enter" || event.key === " ");
    const act = onButton ? null : actions(app)[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

function actions(app) {
  const {model} = app;
  const {depth} = model;
  const arrows = depth === 0
    ? {ArrowRight: () => app.goto(model.place + 1), ArrowLeft: () => app.goto(model.place - 1)}
    : depth === 1
      ? {ArrowRight: () => app.movePick(0, 1), ArrowLeft: () => app.movePick(0, -1),
        ArrowDown: () => app.movePick(1, 0), ArrowUp: () => app.movePick(-1, 0)}
      : {ArrowRight: () => app.moveTerm(1), ArrowLeft: () => app.moveTerm(-1)};
  return {
    ...arrows,
    n: () => app.goto(model.place + 1),
    Enter: () => app.goDepth(depth + 1),
    Escape: () => app.goDepth(depth - 1),
    "[": () => app.moveChannel(-1),
    "]": () => app.moveChannel(1),
    f: () => { if (model.backward) app.flip(); },
    b: () => { if (!model.backward) app.flip(); },
    d: () => app.nextGradient(),
    l: () => app.chooseTab("lens"),
    c: () => app.chooseTab("code"),
    m: () => app.chooseTab("im2col"),
    t: () => app.chooseTab("threads"),
    Home: () => app.goto(0),
    End: () => app.goto(model.steps.length - 1),
    g: () => byId("jump").focus(),
    p: () => app.play(),
    "?": () => app.help(),
  };
}
