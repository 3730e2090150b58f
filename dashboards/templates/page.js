"use strict";
// What a page does without its figures.
const WIDE = window.matchMedia("(min-width: 70rem)");
const PRINT_ROWS = 30;

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

// Paper has no menus: short tables unfold.
const UNFOLDED = [];
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details.table:not([open])").forEach((table) => {
    if (Number(table.dataset.rows) <= PRINT_ROWS) { table.open = true; UNFOLDED.push(table); }
  });
});
window.addEventListener("afterprint", () => {
  UNFOLDED.splice(0).forEach((table) => { table.open = false; });
});
