// Views: each block lists the views it belongs to, and filters hide rows, figures and pictures.
// Without this script all blocks are shown, one after the other.

const one = (id) => document.getElementById(id);
const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

const links = find("nav a[href^='#']");
const boxes = find("#methods input");
const narrow = window.matchMedia("(max-width: 60rem)");
let view = "overview";

const hiddenMethods = () => new Set(boxes.filter((box) => !box.checked).map((box) => box.dataset.method));

function apply() {
  const text = one("filter").value.trim().toLowerCase();
  const methods = hiddenMethods();
  for (const block of find("[data-views]")) block.hidden = !block.dataset.views.split(" ").includes(view);
  filterGallery(text, methods);
  filterFigures(text, methods);
  for (const section of find("main > section")) section.hidden = !section.querySelector("[data-views]:not([hidden])");
  let filtered = 0;
  for (const [figure, sheet] of sheets) {
    const count = sheet.filter(text, methods);
    if (!figure.hidden) filtered += count;
  }
  showHidden(filtered);
  for (const link of links) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const [kind, number] = view.split("/");
  one("view").hidden = !number;
  const name = links.find((link) => link.hash === `#${view}`).textContent;
  one("view").textContent = `${kind === "method" ? "Method" : "Category"}: ${name}`;
  listContents();
}

function filterFigures(text, methods) {
  for (const figure of find("figure.drawing")) {
    figure.hidden ||= methods.has(figure.dataset.method) || !figure.textContent.toLowerCase().includes(text);
  }
  for (const strip of find(".strip[data-method]")) strip.hidden = methods.has(strip.dataset.method);
}

// links to the tables and figures of the view, where there are several
function listContents() {
  const shown = find("figure:is(.sheet, .drawing):not([hidden])").filter((figure) => !figure.closest("section[hidden], .board"));
  const list = one("within");
  list.hidden = view === "overview" || shown.length < 3;
  list.replaceChildren(
    ...shown.map((figure) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = figure.querySelector("h3").textContent;
      button.addEventListener("click", () => figure.scrollIntoView());
      return button;
    }),
  );
}

function filterGallery(text, methods) {
  const [category, kind] = [one("category")?.value, one("kind")?.value];
  const only = view.startsWith("method/") ? view.split("/")[1] : undefined;
  for (const row of find("#gallery article")) {
    const { category: its, kind: shown } = row.dataset;
    row.hidden ||= Boolean((category && category !== its) || (kind && kind !== shown));
    row.hidden ||= !row.querySelector("h3").textContent.toLowerCase().includes(text);
    for (const tile of find("li", row)) {
      const { method } = tile.dataset;
      tile.hidden = methods.has(method) || (only !== undefined && method !== "-" && method !== only);
    }
    row.hidden ||= !hasVerdict(row, one("verdicts")?.value);
  }
  if (one("count")) one("count").value = counted(find("#gallery article:not([hidden])").length, "image");
}

// whether the methods shown have such a verdict on an image, or, for "disagreement", right and wrong ones
function hasVerdict(row, wanted) {
  const outcomes = find("li:not([hidden])", row).map((tile) => tile.dataset.outcome).filter(Boolean);
  if (wanted === "disagreement") return new Set(outcomes).size > 1;
  return !wanted || outcomes.includes(wanted);
}

function showHidden(filtered) {
  const names = boxes.filter((box) => !box.checked).map((box) => box.parentElement.textContent.trim());
  const parts = [];
  if (filtered) parts.push(`${counted(filtered, "table row")} by the filter`);
  if (names.length) parts.push(names.join(", "));
  const rest = names.length ? " Sentences, tests, figures of all methods and disagreements still include them." : "";
  one("hidden").hidden = !parts.length;
  one("hidden").textContent = `Hidden: ${parts.join("; ")}.${rest}`;
}

function turn(target) {
  view = target;
  apply();
  window.scrollTo(0, 0);
}

function follow() {
  const target = location.hash.slice(1);
  const known = links.some((link) => link.hash === `#${target}`);
  if (known || !target) turn(target || "overview"); // else an anchor within the view
}
