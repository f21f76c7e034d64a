"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const report = data.report;
const SVG = "http://www.w3.org/2000/svg";
const CEILING = 100; // decibels that stand for the infinite PSNR of equal images, as in the tables of the command line

const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a child may be text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Press the button of a group that has this value, and no other. */
function press(group, value) {
  for (const button of group.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.value === value));
}

const signed = (value, digits) => {
  const text = Math.abs(value).toFixed(digits);
  return (Number(text) === 0 ? "" : value > 0 ? "+" : "\u2212") + text; // nothing is neither gained nor lost
};
const number = (value, digits) => (value === null ? "\u221e" : value.toFixed(digits)); // JSON has no word for infinity
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

// ---------------------------------------------------------------- scores

const scores = report && {
  metrics: report.metrics,
  main: report.metrics[0],
  subjects: report.subjects.map((subject) => subject.name),
  input: report.input,
  /** The subjects that restore something, or all if none does. */
  get restored() {
    return this.input ? this.subjects.filter((name) => name !== this.input) : this.subjects;
  },
  value(image, subject, metric) {
    return image.scores[subject][metric.name];
  },
  /** How much better than the input, positive for better. */
  gain(image, subject) {
    const cap = (value) => (this.main.name === "psnr" ? Math.min(value === null ? CEILING : value, CEILING) : value);
    const change = cap(this.value(image, subject, this.main)) - cap(this.value(image, this.input, this.main));
    return this.main.higher_is_better ? change : -change;
  },
};

function showFacts() {
  byId("title").textContent = data.title;
  const facts = report
    ? [report.protocol.name, plural(report.count, "image"), data.date]
    : [plural(data.exhibits[0].pictures.length, "version"), data.date];
  byId("facts").textContent = facts.join(" \u00b7 ");
  byId("foot").textContent = `RestoreKit ${data.version}` + (data.command ? ` \u00b7 ${data.command}` : "");
}

/** A row of a table: the first cell is its heading. */
function row(first, cells, tag = "td") {
  const line = make("tr", {}, make("th", { scope: tag === "th" ? "col" : "row" }, first));
  for (const cell of cells) line.append(cell instanceof Node ? cell : make(tag, tag === "th" ? { scope: "col" } : {}, cell));
  return line;
}

function difference(subject, over) {
  return report.differences.find((entry) => entry.subject === subject && entry.over === over);
}

/** A line from low to high with a dot at the mean, on a scale that all rows share. */
function interval(entry, reach) {
  const x = (value) => 60 + (value / reach) * 56;
  return draw(
    "svg",
    { class: "interval", viewBox: "0 0 120 16", "aria-hidden": "true" },
    draw("line", { x1: 60, x2: 60, y1: 0, y2: 16 }),
    draw("line", { class: "range", x1: x(entry.low), x2: x(entry.high), y1: 8, y2: 8 }),
    draw("circle", { cx: x(entry.mean), cy: 8, r: 3.5 }),
  );
}

function reachOf(entries) {
  return Math.max(1e-9, ...entries.flatMap((entry) => [Math.abs(entry.low), Math.abs(entry.high)]));
}

function intervalCells(entry, reach) {
  const digits = scores.main.decimals;
  const range = entry.count > 1 ? `${signed(entry.low, digits)} to ${signed(entry.high, digits)}` : "of one: none";
  return [
    make("td", entry.high < 0 ? { class: "loss" } : {}, signed(entry.mean, digits)),
    make("td", { class: "soft" }, range),
    make("td", {}, interval(entry, reach)),
    make("td", { class: "soft" }, `${entry.wins} of ${entry.count}`),
  ];
}

function showSummary() {
  if (!report) return;
  byId("summary").hidden = false;
  const titles = scores.metrics.flatMap((metric) => [metric.label, "median"]);
  const over = scores.input && report.subjects.length > 1 ? report.differences.filter((d) => d.over === scores.input) : [];
  if (over.length) titles.push(`${scores.main.label} gain`, "95 % interval", "", "better on");
  titles.push("worst image");
  const body = make("tbody");
  const reach = reachOf(over);
  for (const subject of report.subjects) {
    const cells = scores.metrics.flatMap((metric) => {
      const entry = subject.summary[metric.name];
      return [make("td", {}, number(entry.mean, metric.decimals)), make("td", { class: "soft" }, number(entry.median, metric.decimals))];
    });
    const entry = over.length ? difference(subject.name, scores.input) : null;
    if (entry) cells.push(...intervalCells(entry, reach));
    else if (over.length) cells.push("", "", "", "");
    cells.push(make("td", { class: "soft" }, subject.worst[0]));
    body.append(row(subject.name, cells));
  }
  byId("summary-table").append(make("thead", {}, row("", titles, "th")), body);
  const notes = [...report.notes];
  if (over.length) notes.unshift("The interval is of the mean, from 10,000 paired bootstrap samples of the images; one that holds zero says that these images cannot tell.");
  byId("summary-note").textContent = notes.join(" ");
  showBetween();
  showCandidates();
}

function showBetween() {
  const entries = report.differences.filter((entry) => entry.over !== scores.input);
  if (!scores.input || !entries.length) return;
  byId("between").hidden = false;
  const body = make("tbody");
  const reach = reachOf(entries);
  for (const entry of entries) body.append(row(`${entry.subject} over ${entry.over}`, intervalCells(entry, reach)));
  const titles = [`${scores.main.label} gain`, "95 % interval", "", "better on"];
  byId("between-table").append(make("thead", {}, row("", titles, "th")), body);
}

function showCandidates() {
  const found = report.subjects.filter((subject) => subject.candidates);
  if (!found.length) return;
  byId("candidates").hidden = false;
  const digits = scores.main.decimals;
  const body = make("tbody");
  for (const { name, candidates } of found) {
    const single = `${number(candidates.best_single, digits)} (#${candidates.single})`;
    body.append(row(name, [number(candidates.best_overall, digits), single, number(candidates.mean, digits)]));
  }
  byId("candidates-table").append(make("thead", {}, row(scores.main.label, ["best overall", "best single", "mean"], "th")), body);
}

// ---------------------------------------------------------------- histograms

/** Edges of bars: a round width that gives at most 24, with zero among them. */
function bins(low, high) {
  const span = Math.max(high - low, 1e-6);
  const rough = span / 20;
  const power = 10 ** Math.floor(Math.log10(rough));
  const width = [1, 2, 5, 10].map((step) => step * power).find((step) => step >= rough);
  const first = Math.floor(low / width + 1e-9);
  const last = Math.max(Math.ceil(high / width - 1e-9), first + 1);
  return Array.from({ length: last - first + 1 }, (_, index) => (first + index) * width);
}

function showHistograms() {
  if (!report || !scores.input || !scores.restored.length) return;
  byId("gains").hidden = false;
  const gains = new Map(scores.restored.map((subject) => [subject, report.images.map((image) => scores.gain(image, subject))]));
  for (const [subject, values] of gains) byId("histograms").append(histogram(subject, values));
}

function histogram(subject, values) {
  const edges = bins(Math.min(0, ...values), Math.max(0, ...values));
  const counts = new Array(edges.length - 1).fill(0);
  const width = edges[1] - edges[0];
  for (const value of values) counts[Math.min(counts.length - 1, Math.max(0, Math.floor((value - edges[0]) / width + 1e-9)))] += 1;
  const [W, H, top, bottom] = [360, 150, 14, 22];
  const x = (value) => 4 + ((value - edges[0]) / (edges.at(-1) - edges[0])) * (W - 8);
  const high = Math.max(...counts);
  const y = (count) => H - bottom - (count / high) * (H - top - bottom);
  const digits = Math.max(0, Math.min(4, Math.ceil(-Math.log10(width))));
  const picture = draw("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
  const lost = values.filter((value) => value < 0).length;
  const told = `${plural(values.length, "image")}, ${lost ? `${lost} worse than the input` : "none worse than the input"}`;
  picture.setAttribute("aria-label", `Gain of ${subject}: ${told}`);
  counts.forEach((count, index) => {
    if (!count) return;
    const title = draw("title");
    title.textContent = `${plural(count, "image")} from ${signed(edges[index], digits)} to ${signed(edges[index + 1], digits)}`;
    const box = { x: x(edges[index]) + 0.5, y: y(count), width: Math.max(1, x(edges[index + 1]) - x(edges[index]) - 1), height: H - bottom - y(count) };
    picture.append(draw("rect", { ...box, class: edges[index] < -1e-9 ? "down" : "up", "data-count": count }, title));
  });
  picture.append(draw("line", { class: "axis", x1: 0, x2: W, y1: H - bottom, y2: H - bottom }));
  picture.append(draw("line", { class: "zero", x1: x(0), x2: x(0), y1: top, y2: H - bottom }));
  const text = (value, anchor, words, height = H - 6) => {
    const element = draw("text", { x: x(value), y: height, "text-anchor": anchor });
    element.textContent = words;
    picture.append(element);
  };
  text(edges[0], "start", edges[0] === 0 ? "0" : signed(edges[0], digits));
  text(edges.at(-1), "end", edges.at(-1) === 0 ? "0" : signed(edges.at(-1), digits));
  if (x(0) > 50 && x(0) < W - 50) text(0, "middle", "0");
  const tallest = counts.indexOf(high);
  text((edges[tallest] + edges[tallest + 1]) / 2, "middle", String(high), top - 4);
  return make("figure", {}, make("figcaption", {}, subject, " ", make("small", {}, told)), picture);
}

// ---------------------------------------------------------------- every image

const table = { metric: null, column: null, descending: false };

/** The columns that are shown: a title, what a row has there, and its text. */
function columns() {
  const metric = table.metric;
  const digits = metric ? metric.decimals : scores.main.decimals;
  const subjects = metric ? scores.subjects : scores.restored;
  return subjects.map((subject) => ({
    title: subject,
    value: (image) => {
      if (!metric) return scores.gain(image, subject);
      const value = scores.value(image, subject, metric);
      return value === null ? Infinity : value;
    },
    text: (value) => (value === Infinity ? "\u221e" : metric ? value.toFixed(digits) : signed(value, digits)),
  }));
}

function showScores() {
  if (!report) return;
  byId("scores").hidden = false;
  const gained = Boolean(scores.input && scores.restored.length);
  const choices = [...(gained ? [["", `${scores.main.label} gain`]] : []), ...scores.metrics.map((metric) => [metric.name, metric.label])];
  for (const [value, label] of choices) byId("metric").append(make("button", { type: "button", "data-value": value }, label));
  byId("metric").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) chooseMetric(button.dataset.value);
  });
  byId("find").addEventListener("input", fillScores);
  chooseMetric(choices[0][0]);
}

function chooseMetric(name) {
  press(byId("metric"), name);
  table.metric = scores.metrics.find((metric) => metric.name === name) || null;
  table.column = scores.restored[0];
  table.descending = Boolean(table.metric && !table.metric.higher_is_better); // the worst first
  const titles = columns().map((column) => column.title);
  const header = make("tr");
  for (const title of [null, ...titles]) {
    const sort = () => {
      table.descending = table.column === title ? !table.descending : false;
      table.column = title;
      fillScores();
    };
    header.append(make("th", { scope: "col", "data-column": title ?? "image" }, make("button", { type: "button", class: "sort", onclick: sort }, title ?? "image")));
  }
  byId("scores-table").replaceChildren(make("thead", {}, header), make("tbody"));
  fillScores();
}

function fillScores() {
  const shown = columns();
  const wanted = byId("find").value.toLowerCase();
  const rows = report.images.filter((image) => image.name.toLowerCase().includes(wanted));
  const column = shown.find((entry) => entry.title === table.column);
  const order = column ? (a, b) => column.value(a) - column.value(b) || 0 : (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true });
  rows.sort((a, b) => (table.descending ? order(b, a) : order(a, b)));
  for (const th of byId("scores-table").querySelectorAll("thead th")) {
    if (th.dataset.column === (table.column ?? "image")) th.setAttribute("aria-sort", table.descending ? "descending" : "ascending");
    else th.removeAttribute("aria-sort");
  }
  const higher = table.metric ? table.metric.higher_is_better : true;
  byId("scores-table").querySelector("tbody").replaceChildren(
    ...rows.map((image) => {
      const values = shown.map((entry) => entry.value(image));
      const best = higher ? Math.max(...values) : Math.min(...values);
      const index = data.exhibits.findIndex((exhibit) => exhibit.name === image.name);
      const open = () => { choose(index); byId("viewer").scrollIntoView({ block: "start" }); byId("stage").focus({ preventScroll: true }); };
      const name = index < 0 ? image.name : make("button", { type: "button", class: "open", onclick: open }, image.name);
      const cells = values.map((value, i) => {
        const loss = !table.metric && signed(value, scores.main.decimals).startsWith("\u2212");
        const kind = [shown.length > 1 && value === best ? "best" : "", loss ? "loss" : ""].filter(Boolean).join(" ");
        return make("td", kind ? { class: kind } : {}, shown[i].text(value));
      });
      return make("tr", {}, make("td", {}, name), ...cells);
    }),
  );
}
