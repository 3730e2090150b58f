"use strict";
// Draws every figure from the JSON beside it; a figure with choices gets a menu.
const PRINT_WIDTH = 660, PRINT_HEIGHT = 820, PRINT_ROWS = 30;
const NARROW = window.matchMedia("(max-width: 40rem)");
const WIDE = window.matchMedia("(min-width: 70rem)");

function addMenu(plot, choices) {
  const label = document.createElement("label");
  const select = document.createElement("select");
  select.id = plot.id + "-select";
  label.htmlFor = select.id;
  label.textContent = "Trial:";
  choices.forEach((choice, i) => select.add(new Option(choice.label, i)));
  select.addEventListener("change", () => {
    const choice = choices[Number(select.value)];
    Plotly.update(plot, choice.data, choice.layout, [choice.trace].flat());
    if (choice.layout.height) plot.style.minHeight = choice.layout.height + "px";
  });
  document.getElementById(plot.id.replace(/-plot$/, "-menu")).append(label, select);
}

// A point whose trial has a link in the table of its page leads there too.
function linkPoints(plot) {
  const links = [...plot.closest("section").querySelectorAll("tbody th a")];
  const runs = new Map(links.map((a) => ["slot " + a.textContent.trim(), a.href]));
  if (runs.size) plot.on("plotly_click", (event) => {
    const address = runs.get(event.points[0].customdata);
    if (address) window.open(address, "_blank", "noopener");
  });
}

function draw(source) {
  const plot = document.getElementById(source.dataset.plot);
  const spec = JSON.parse(source.textContent);
  const choices = (spec.layout.meta || {}).choices || [];
  delete spec.layout.meta;
  // Where a finger scrolls the page, dragging inside a figure must not zoom it, and a tap is not exact.
  if (window.matchMedia("(pointer: fine)").matches) spec.layout.dragmode = "zoom";
  else spec.layout.hoverdistance = 40;
  if (NARROW.matches) spec.layout.legend = { ...spec.layout.legend, font: { size: 11 } };
  Plotly.newPlot(plot, spec.data, spec.layout, CONFIG);
  linkPoints(plot);
  if (choices.length > 1) addMenu(plot, choices);
}

const SOURCES = [...document.querySelectorAll("script[data-plot]")];
SOURCES.forEach(draw);
const PLOTS = SOURCES.map((source) => document.getElementById(source.dataset.plot));
document.querySelectorAll("button[data-save]").forEach((button) => {
  const plot = document.getElementById(button.dataset.save);
  const filename = button.dataset.save.replace(/-plot$/, "");
  button.addEventListener("click", () => Plotly.downloadImage(plot, { format: "svg", filename }));
});

// Contents: a column beside the pages where there is room, else a bar that unfolds and folds again.
const CONTENTS = document.getElementById("contents");
const LINKS = CONTENTS ? [...CONTENTS.querySelectorAll("a")] : [];
function fold() { if (CONTENTS) CONTENTS.open = WIDE.matches; }
function mark(id) {
  LINKS.forEach((link) => {
    const is = link.hash === "#" + id;
    if (is) { link.setAttribute("aria-current", "true"); document.getElementById("here").textContent = ": " + link.textContent; }
    else link.removeAttribute("aria-current");
  });
}
if (CONTENTS) {
  fold();
  WIDE.addEventListener("change", fold);
  LINKS.forEach((link) => link.addEventListener("click", fold));
  CONTENTS.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !WIDE.matches) { CONTENTS.open = false; CONTENTS.querySelector("summary").focus(); }
  });
  const seen = new IntersectionObserver((entries) => entries.forEach((e) => { if (e.isIntersecting) mark(e.target.id); }),
    { rootMargin: "-20% 0px -75% 0px" });
  document.querySelectorAll("main section").forEach((section) => seen.observe(section));
}

// Paper has no menus: short tables unfold, and no figure is higher than what a sheet leaves it.
const UNFOLDED = [];
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details.table:not([open])").forEach((table) => {
    if (Number(table.dataset.rows) <= PRINT_ROWS) { table.open = true; UNFOLDED.push(table); }
  });
  PLOTS.forEach((plot) => {
    plot.dataset.height = plot.layout.height;
    plot.style.minHeight = "0";
    // Shrunk as a whole: squeezed panels would run into each other.
    const zoom = Math.min(1, PRINT_HEIGHT / plot.layout.height);
    plot.style.zoom = zoom;
    Plotly.relayout(plot, { width: PRINT_WIDTH / zoom });
  });
});
window.addEventListener("afterprint", () => {
  UNFOLDED.splice(0).forEach((table) => { table.open = false; });
  PLOTS.forEach((plot) => {
    plot.style.minHeight = plot.dataset.height + "px";
    plot.style.zoom = "";
    Plotly.relayout(plot, { width: null, height: Number(plot.dataset.height), autosize: true });
  });
});
