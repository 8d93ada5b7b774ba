// Tables: sorted by a click on a heading; marks and average ranks are those of the methods shown.
// The page is one script, of tables.js, views.js and viewer.js.
"use strict";

const find = (selector, within = document) => [...within.querySelectorAll(selector)];
const DECIMALS = 1e9; // values equal up to rounding errors are ties, as in reports/statistics/ranks.py
const relevant = Number(document.body.dataset.relevant); // smallest difference that a mark needs

// the average rank of each method over categories, 1 is the largest value, ties share their ranks
function averageRanks(samples, methods) {
  const shown = Object.entries(samples).filter(([method]) => !methods.has(method));
  const count = shown[0]?.[1].length ?? 0;
  const rounded = shown.map(([method, values]) => [method, values.map((value) => Math.round(value * DECIMALS))]);
  const rank = (value, place) => {
    const others = rounded.map(([, values]) => values[place]);
    return 1 + others.filter((other) => other > value).length + (others.filter((other) => other === value).length - 1) / 2;
  };
  return new Map(
    rounded.map(([method, values]) => [method, values.reduce((sum, value, i) => sum + rank(value, i), 0) / count]),
  );
}

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
    this.samples = JSON.parse(figure.dataset.samples ?? "null");
    this.versus = JSON.parse(figure.dataset.versus ?? "null");
    this.isMarked = Boolean(table.querySelector(".best"));
    this.measures = Number(figure.dataset.measures ?? Infinity);
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
      const misses = !this.versus && !this.fixed.has(i) && !this.texts[i].includes(text);
      row.hidden = misses || methods.has(this.lines[i]);
      filtered += misses;
      [...row.cells].forEach((cell, column) => (cell.hidden = methods.has(this.columns[column])));
    });
    [...this.heads.cells].forEach((cell, column) => (cell.hidden = methods.has(this.columns[column])));
    this.spans.forEach((row, i) => this.narrow(row, this.widths[i], methods));
    this.drawRules();
    if (methods.size || this.isChanged) this.recompute(methods);
    this.isChanged = methods.size > 0;
    return filtered;
  }

  // best, second and average ranks among the methods shown
  recompute(methods) {
    if (this.samples) this.rank(methods);
    if (!this.isMarked) return;
    if (this.lines.some((line) => line !== "-")) {
      const lines = this.rows.map((row, i) => [row, this.lines[i]]).filter(([, line]) => line !== "-" && !methods.has(line));
      const columns = [...this.heads.cells].map((cell) => cell.cellIndex).slice(1, 1 + this.measures);
      for (const column of columns) this.mark(lines.map(([row]) => row.cells[column]), this.isRank(column));
    } else {
      for (const row of this.rows) {
        const shown = [...row.cells].filter((_, column) => this.columns[column] !== "-" && !methods.has(this.columns[column]));
        this.mark(shown);
      }
    }
    if (this.versus) this.compare(methods);
  }

  isRank(column) {
    return this.heads.cells[column].textContent.trim() === "average rank";
  }

  // marks by the values as printed; none where an entry covers only some categories, or where there is nothing to compare
  mark(cells, smallestFirst = false) {
    for (const cell of cells) cell.classList.remove("best", "second");
    const values = cells.map((cell) => (smallestFirst ? -1 : 1) * Number.parseFloat(cell.textContent));
    const ordered = [...new Set(values.filter((value) => !Number.isNaN(value)))].toSorted((a, b) => b - a);
    const known = values.filter((value) => !Number.isNaN(value)).length;
    if (known < 2 || cells.some((cell) => cell.classList.contains("partial"))) return;
    const best = cells.filter((_, i) => values[i] === ordered[0]);
    const ahead = Math.round((ordered[0] - ordered[1]) * DECIMALS) / DECIMALS;
    if (relevant && (best.length > 1 || !(ahead > relevant))) return;
    cells.forEach((cell, i) => {
      cell.classList.toggle("best", values[i] === ordered[0]);
      cell.classList.toggle("second", values[i] === ordered[1]);
    });
  }

  rank(methods) {
    const ranks = averageRanks(this.samples, methods);
    const column = [...this.heads.cells].findIndex((_, i) => this.isRank(i));
    const digits = this.rows[0].cells[column].textContent.split(".")[1]?.length ?? 0;
    this.rows.forEach((row, i) => {
      const rank = ranks.get(this.lines[i]);
      if (rank === undefined) return;
      row.cells[column].dataset.value = rank;
      row.cells[column].textContent = rank.toFixed(digits);
    });
  }

  // how the methods shown compare with the best of them, by tests of all
  compare(methods) {
    const shown = this.rows.map((row, i) => [row, this.lines[i]]).filter(([, line]) => !methods.has(line));
    const values = shown.map(([row]) => Number.parseFloat(row.cells[1].textContent));
    const isComplete = shown.every(([row], i) => !row.cells[1].classList.contains("partial") && !Number.isNaN(values[i]));
    const [, best] = shown[values.indexOf(Math.max(...values))] ?? [];
    for (const [row, line] of shown) row.lastElementChild.textContent = isComplete ? this.versus[best][line] : "–";
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
