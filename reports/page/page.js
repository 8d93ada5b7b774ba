// The page is static: each block lists the views it belongs to, each sheet the methods of its columns and rows.
// Without this script all blocks are shown, one after the other.
"use strict";

const find = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (id) => document.getElementById(id);
const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

const links = find("nav a");
const boxes = find("#methods input");
const narrow = window.matchMedia("(max-width: 60rem)");
let view = "overview";

const hiddenMethods = () => new Set(boxes.filter((box) => !box.checked).map((box) => box.dataset.method));

// --- tables -------------------------------------------------------------------------------------------------------

class Sheet {
  constructor(figure) {
    const table = figure.querySelector("table");
    const listed = (name) => (figure.dataset[name] ?? "").split(" ").filter(Boolean);
    this.body = table.tBodies[0];
    this.rows = [...this.body.rows];
    [this.heads, ...this.spans] = [...table.tHead.rows].reverse();
    this.columns = ["-", ...listed("columns")];
    this.lines = listed("lines");
    this.fixed = new Set(listed("fixed").map(Number));
    this.texts = this.rows.map((row) => row.textContent.toLowerCase());
    // the width of each heading over several columns when all columns are shown
    this.widths = this.spans.map((row) => [...row.cells].map((cell) => cell.colSpan));
    this.ruled = new Set(this.rows.filter((row) => row.classList.contains("rule")));
    [...this.heads.cells].forEach((cell, column) => this.makeSortable(cell, column));
    this.markTexts();
  }

  markTexts() {
    for (const { cellIndex } of this.heads.cells) {
      const cells = [this.heads, ...this.rows].map((row) => row.cells[cellIndex]);
      const isText = !cells.some((cell) => cell.dataset.value);
      for (const cell of cells) cell.classList.toggle("text", isText);
    }
  }

  makeSortable(cell, column) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => this.sort(cell, column));
  }

  // numbers: largest first, smallest first, original order; names: the other way round
  sort(cell, column) {
    const numeric = this.rows.some((row) => row.cells[column].dataset.value);
    const turns = numeric ? ["none", "descending", "ascending"] : ["none", "ascending", "descending"];
    const turn = turns[(turns.indexOf(cell.getAttribute("aria-sort") ?? "none") + 1) % turns.length];
    for (const other of this.heads.cells) other.removeAttribute("aria-sort");
    if (turn !== "none") cell.setAttribute("aria-sort", turn);
    const value = ({ cells }) => (numeric ? Number.parseFloat(cells[column].dataset.value) : cells[column].textContent);
    const sign = turn === "descending" ? -1 : 1;
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (!numeric) return sign * x.localeCompare(y, undefined, { numeric: true });
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return sign * (x - y);
    };
    const ordered = this.groups().flatMap(({ free, fixed }) => [
      ...(turn === "none" ? free : free.toSorted(compare)),
      ...fixed,
    ]);
    this.body.append(...ordered);
    this.drawRules();
  }

  // rows between two rules are sorted among themselves, and rows of means stay last
  groups() {
    const groups = [];
    this.rows.forEach((row, position) => {
      if (!position || this.ruled.has(row)) groups.push({ free: [], fixed: [] });
      groups.at(-1)[this.fixed.has(position) ? "fixed" : "free"].push(row);
    });
    return groups;
  }

  // a rule is drawn above the first visible row of its group
  drawRules() {
    const group = new Map(this.groups().flatMap(({ free, fixed }, i) => [...free, ...fixed].map((row) => [row, i])));
    let last;
    for (const row of this.body.rows) {
      row.classList.toggle("rule", !row.hidden && last !== undefined && group.get(row) !== last);
      if (!row.hidden) last = group.get(row);
    }
  }

  // returns the number of rows that the text hides
  filter(text, methods) {
    let filtered = 0;
    this.rows.forEach((row, i) => {
      const misses = !this.fixed.has(i) && !this.texts[i].includes(text);
      row.hidden = misses || methods.has(this.lines[i]);
      filtered += misses;
      [...row.cells].forEach((cell, column) => (cell.hidden = methods.has(this.columns[column])));
    });
    [...this.heads.cells].forEach((cell, column) => (cell.hidden = methods.has(this.columns[column])));
    this.spans.forEach((row, i) => this.narrow(row, this.widths[i], methods));
    this.drawRules();
    return filtered;
  }

  narrow(row, widths, methods) {
    let start = 0;
    [...row.cells].forEach((cell, i) => {
      const covered = this.columns.slice(start, start + widths[i]).filter((method) => !methods.has(method));
      start += widths[i];
      cell.hidden = !covered.length;
      cell.colSpan = covered.length || 1;
    });
  }
}

const sheets = new Map(find("figure.sheet").map((figure) => [figure, new Sheet(figure)]));

// --- views and filters --------------------------------------------------------------------------------------------

function apply() {
  const text = one("filter").value.trim().toLowerCase();
  const methods = hiddenMethods();
  for (const block of find("[data-views]")) block.hidden = !block.dataset.views.split(" ").includes(view);
  filterGallery(text, methods);
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
  if (names.length) parts.push(`${names.join(", ")} (still counted for best, second and disagreement)`);
  one("hidden").hidden = !parts.length;
  one("hidden").textContent = `Hidden: ${parts.join("; ")}.`;
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

// --- full pictures ------------------------------------------------------------------------------------------------

const viewer = one("viewer");
let current = 0;

const pictures = () => find("#gallery article:not([hidden]) li:not([hidden]) a");

function show(position) {
  const all = pictures();
  current = (position + all.length) % all.length;
  const [link, picture] = [all[current], one("viewer-picture")];
  picture.onerror = () => {
    picture.onerror = null;
    picture.src = link.querySelector("img").src;
  };
  picture.src = link.href;
  picture.alt = link.dataset.title;
  one("viewer-title").textContent = link.dataset.title;
  if (!viewer.open) viewer.showModal();
}

one("gallery")?.addEventListener("click", (event) => {
  const link = event.target.closest("li a");
  if (!link) return;
  event.preventDefault();
  show(pictures().indexOf(link));
});
one("previous").addEventListener("click", () => show(current - 1));
one("next").addEventListener("click", () => show(current + 1));
one("close").addEventListener("click", () => viewer.close());
viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
viewer.addEventListener("close", () => pictures()[current]?.focus());
viewer.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") show(current - 1);
  if (event.key === "ArrowRight") show(current + 1);
});

// --- start --------------------------------------------------------------------------------------------------------

one("filter").addEventListener("input", apply);
for (const input of [...boxes, one("category"), one("kind"), one("verdicts")]) input?.addEventListener("change", apply);
const fold = () => (one("menu").open = !narrow.matches);
narrow.addEventListener("change", fold);
for (const link of find("a[href^='#']:not(.skip)")) {
  link.addEventListener("click", (event) => {
    fold();
    if (window.self === window.top) return;
    // MLflow shows the page in a frame, where its address cannot change
    event.preventDefault();
    turn(link.hash.slice(1));
  });
}
const bar = document.querySelector(".top");
new ResizeObserver(() => document.documentElement.style.setProperty("--bar", `${bar.offsetHeight}px`)).observe(bar);
window.addEventListener("hashchange", follow);
document.documentElement.classList.add("js");
fold();
apply();
follow();
