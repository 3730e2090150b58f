"use strict";
// Draws every figure from the JSON beside it; a figure with choices gets a menu.
const PRINT_WIDTH = 660;

function addMenu(plot, choices) {
  const label = document.createElement("label");
  const select = document.createElement("select");
  select.id = plot.id + "-select";
  label.htmlFor = select.id;
  label.textContent = "Trial:";
  choices.forEach((choice, i) => select.add(new Option(choice.label, i)));
  select.addEventListener("change", () => {
    const choice = choices[Number(select.value)];
    Plotly.update(plot, choice.data, choice.layout, [choice.trace]);
    if (choice.layout.height) plot.style.minHeight = choice.layout.height + "px";
  });
  document.getElementById(plot.id.replace(/-plot$/, "-menu")).append(label, select);
}

function draw(source) {
  const plot = document.getElementById(source.dataset.plot);
  const spec = JSON.parse(source.textContent);
  const choices = (spec.layout.meta || {}).choices || [];
  delete spec.layout.meta;
  // Where a finger scrolls the page, dragging inside a figure must not zoom it.
  if (window.matchMedia("(pointer: fine)").matches) spec.layout.dragmode = "zoom";
  Plotly.newPlot(plot, spec.data, spec.layout, CONFIG);
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
window.addEventListener("beforeprint", () => PLOTS.forEach((p) => Plotly.relayout(p, { width: PRINT_WIDTH })));
window.addEventListener("afterprint", () => PLOTS.forEach((p) => Plotly.relayout(p, { width: null, autosize: true })));
