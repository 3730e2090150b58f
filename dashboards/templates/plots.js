"use strict";
// Draws every figure from the JSON beside it; a figure with choices gets a menu.
const PRINT_WIDTH = 660, PRINT_HEIGHT = 820;
const NARROW = window.matchMedia("(max-width: 40rem)");

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

// plotly.js is here compressed, at a third of its size.
async function load() {
  const bytes = Uint8Array.from(atob(document.getElementById("library").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

const PLOTS = [];
function drawAll() {
  document.querySelectorAll("script[data-plot]").forEach((source) => {
    draw(source);
    PLOTS.push(document.getElementById(source.dataset.plot));
  });
  document.querySelectorAll("button[data-save]").forEach((button) => {
    const plot = document.getElementById(button.dataset.save);
    const filename = button.dataset.save.replace(/-plot$/, "");
    button.addEventListener("click", () => Plotly.downloadImage(plot, { format: "svg", filename }));
  });
  document.documentElement.dataset.figures = "drawn";
}
load().then(drawAll, () => {
  document.documentElement.dataset.figures = "undrawn";
  document.getElementById("undrawn").hidden = false;
});

// On paper no figure is higher than what a sheet leaves it.
window.addEventListener("beforeprint", () => {
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
  PLOTS.forEach((plot) => {
    plot.style.minHeight = plot.dataset.height + "px";
    plot.style.zoom = "";
    Plotly.relayout(plot, { width: null, height: Number(plot.dataset.height), autosize: true });
  });
});
