// ---------------------------------------------------------------- pictures

const view = { index: 0, left: "", right: "", mode: "slider", zoom: "fit", x: 0, y: 0, split: 0.5, gain: 4 };
let panes = []; // { element, layers: [{ holder, content }], scale, width, height }
let run = 0;

const exhibit = () => data.exhibits[view.index];
const pictureOf = (label) => exhibit().pictures.find((picture) => picture.label === label);

function showViewer() {
  byId("picture-note").textContent = pictureNote();
  if (!data.exhibits.length) return;
  byId("viewer").hidden = false;
  document.querySelector(".viewer").classList.toggle("single", data.exhibits.length === 1);
  data.exhibits.forEach((entry, index) => {
    const image = report && report.images.find((candidate) => candidate.name === entry.name);
    const told = image && scores.input && scores.restored.length ? `${scores.main.label} ${signed(scores.gain(image, scores.restored[0]), scores.main.decimals)}` : null;
    const button = make("button", { type: "button", onclick: () => choose(index) }, entry.name, told && make("small", {}, told));
    byId("list").append(make("li", {}, button));
  });
  const labels = data.exhibits[0].pictures.map((picture) => picture.label);
  for (const side of ["left", "right"]) {
    for (const label of labels) byId(side).append(make("option", { value: label }, label));
    byId(side).addEventListener("change", (event) => { view[side] = event.target.value; build(); });
  }
  view.left = labels[0];
  view.right = labels[1] ?? labels[0];
  byId("mode").addEventListener("click", (event) => event.target.dataset.value && setMode(event.target.dataset.value));
  byId("zoom").addEventListener("click", (event) => event.target.dataset.value && setZoom(event.target.dataset.value));
  byId("gain").addEventListener("change", (event) => { view.gain = Number(event.target.value); build(); });
  byId("stage").addEventListener("keydown", moveByKey);
  document.addEventListener("keydown", shortcut);
  new ResizeObserver(place).observe(byId("stage"));
  choose(0);
}

function pictureNote() {
  const notes = [data.picture_note];
  if (report && data.exhibits.length < report.images.length) notes.push(`The page holds the pictures of the worst ${data.exhibits.length} of ${report.images.length} images.`);
  if (data.left_out) notes.push(`${plural(data.left_out, "more image")} would have made it too large.`);
  return notes.filter(Boolean).join(" ");
}

function choose(index) {
  view.index = (index + data.exhibits.length) % data.exhibits.length;
  const [, , width, height] = exhibit().window;
  [view.x, view.y] = [width / 2, height / 2];
  byId("list").querySelectorAll("button").forEach((button, i) => {
    button.setAttribute("aria-current", String(i === view.index));
    if (i === view.index && panes.length) button.scrollIntoView({ block: "nearest", inline: "nearest" }); // a page opens at its top
  });
  build();
}

/** Show the last picture, the target if there is one, on the right; again for what was there. */
function flip() {
  const last = exhibit().pictures.at(-1).label;
  [view.right, view.before] = view.right === last ? [view.before ?? view.left, last] : [last, view.right];
  build();
}

/** The difference begins with that of the right picture and the target; the other views get their left picture back. */
function setMode(mode) {
  const last = exhibit().pictures.at(-1).label;
  if (mode === "difference" && view.mode !== mode) [view.kept, view.left] = [view.left, view.right === last ? view.left : last];
  else if (mode !== "difference" && view.mode === "difference") view.left = view.kept;
  view.mode = mode;
  build();
}

function setZoom(zoom) {
  view.zoom = zoom;
  place();
}

/** Put the panes of the mode on the stage. */
function build() {
  const stage = byId("stage");
  press(byId("mode"), view.mode);
  byId("left").value = view.left;
  byId("right").value = view.right;
  byId("gain-label").hidden = view.mode !== "difference";
  for (const side of ["left", "right"]) byId(side).closest("label").hidden = view.mode === "side";
  const caption = () => {
    const { name, size, window: [x, y, w, h], why } = exhibit();
    const cut = w !== size[0] || h !== size[1];
    return `${name}, ${size[0]} \u00d7 ${size[1]}` + (cut ? `; shown is the part of ${w} \u00d7 ${h} at ${x}, ${y}${why && `, ${why}`}` : "");
  };
  byId("caption").textContent = caption();
  if (view.mode === "slider") panes = [pane([view.left, view.right])];
  else if (view.mode === "side") panes = exhibit().pictures.map((picture) => pane([picture.label]));
  else panes = [differencePane()];
  stage.replaceChildren(...panes.map((entry) => entry.element));
  place();
}

function layer(content) {
  return { holder: make("div", { class: "layer" }, content), content };
}

function pane(labels) {
  const layers = labels.map((label) => layer(make("img", { src: pictureOf(label).src, alt: `${exhibit().name}, ${label}`, draggable: "false" })));
  const element = make("div", { class: "pane" }, ...layers.map((entry) => entry.holder));
  element.append(make("span", { class: "label at-left" }, labels[0]));
  const entry = { element, layers, handle: null };
  if (labels.length === 2) {
    element.append(make("span", { class: "label at-right" }, labels[1]));
    entry.handle = make("div", { class: "handle", role: "slider", tabindex: "0", "aria-label": `Between ${labels[0]} and ${labels[1]}`, "aria-valuemin": "0", "aria-valuemax": "100", onkeydown: slideByKey });
    element.append(entry.handle);
  }
  element.addEventListener("pointerdown", (event) => hold(event, entry));
  element.addEventListener("dblclick", (event) => zoomAt(event, entry));
  return entry;
}

function differencePane() {
  const [, , width, height] = exhibit().window;
  const canvas = make("canvas", { width, height, role: "img", "aria-label": `Difference of ${view.left} and ${view.right}, times ${view.gain}` });
  const entry = pane([view.left]);
  entry.layers = [layer(canvas)];
  entry.element.replaceChildren(entry.layers[0].holder, make("span", { class: "label at-left" }, `|${view.left} \u2212 ${view.right}| \u00d7 ${view.gain}`));
  fillDifference(canvas, (run += 1));
  return entry;
}

async function fillDifference(canvas, mine) {
  const { width, height } = canvas;
  const [a, b] = await Promise.all([view.left, view.right].map(async (label) => {
    const image = new Image();
    image.src = pictureOf(label).src;
    await image.decode();
    const scratch = make("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
    scratch.drawImage(image, 0, 0);
    return scratch.getImageData(0, 0, width, height);
  }));
  if (mine !== run) return; // another one was asked for meanwhile
  for (let i = 0; i < a.data.length; i += 4) {
    for (let channel = i; channel < i + 3; channel += 1) a.data[channel] = Math.abs(a.data[channel] - b.data[channel]) * view.gain;
  }
  canvas.getContext("2d").putImageData(a, 0, 0);
  canvas.dataset.ready = "true";
}

/** Lay every picture where view.x, view.y is in the middle, at one scale for all. */
function place() {
  press(byId("zoom"), view.zoom);
  if (!panes.length) return;
  const [, , width, height] = exhibit().window;
  arrange(width, height);
  const density = window.devicePixelRatio || 1;
  const box = panes[0].element.getBoundingClientRect();
  const fit = Math.min(box.width / width, box.height / height, 2);
  const scale = view.zoom === "fit" ? fit : Number(view.zoom) / density; // 1:1 is one pixel of the screen, not of CSS
  const half = [box.width / 2 / scale, box.height / 2 / scale];
  view.x = half[0] * 2 >= width ? width / 2 : Math.min(Math.max(view.x, half[0]), width - half[0]);
  view.y = half[1] * 2 >= height ? height / 2 : Math.min(Math.max(view.y, half[1]), height - half[1]);
  const snap = (value) => Math.round(value * density) / density;
  const [left, top] = [snap(box.width / 2 - view.x * scale), snap(box.height / 2 - view.y * scale)];
  for (const entry of panes) {
    entry.scale = scale;
    entry.element.classList.toggle("large", width * scale > box.width + 1 || height * scale > box.height + 1);
    for (const { holder, content } of entry.layers) {
      holder.classList.toggle("sharp", view.zoom !== "fit");
      content.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
    }
  }
  slide(view.split);
}

/** As many columns as make the pictures largest. */
function arrange(width, height) {
  const stage = byId("stage");
  const [W, H] = [stage.clientWidth, stage.clientHeight];
  let best = [0, 1];
  for (let across = 1; across <= panes.length; across += 1) {
    const scale = Math.min(W / across / width, H / Math.ceil(panes.length / across) / height);
    if (scale > best[0]) best = [scale, across];
  }
  stage.style.gridTemplateColumns = `repeat(${best[1]}, minmax(0, 1fr))`;
  stage.style.gridAutoRows = "minmax(0, 1fr)";
}

function slide(split) {
  view.split = Math.min(1, Math.max(0, split));
  const { handle, layers } = panes[0];
  if (!handle) return;
  const percent = `${view.split * 100}%`;
  layers[0].holder.style.clipPath = `inset(0 calc(100% - ${percent}) 0 0)`;
  layers[1].holder.style.clipPath = `inset(0 0 0 ${percent})`;
  handle.style.left = percent;
  handle.setAttribute("aria-valuenow", String(Math.round(view.split * 100)));
}

// ---------------------------------------------------------------- hands and keys

function hold(event, entry) {
  if (event.button) return;
  const { element } = entry;
  const large = element.classList.contains("large");
  const sliding = entry.handle && (event.target === entry.handle || !large);
  if (!sliding && !large) return;
  const box = element.getBoundingClientRect();
  let [lastX, lastY] = [event.clientX, event.clientY];
  const move = (moved) => {
    if (sliding) slide((moved.clientX - box.left) / box.width);
    else {
      view.x -= (moved.clientX - lastX) / entry.scale;
      view.y -= (moved.clientY - lastY) / entry.scale;
      [lastX, lastY] = [moved.clientX, moved.clientY];
      place();
    }
  };
  const release = () => {
    element.classList.remove("held");
    for (const name of ["pointerup", "pointercancel"]) element.removeEventListener(name, release);
    element.removeEventListener("pointermove", move);
  };
  element.setPointerCapture(event.pointerId);
  element.classList.add("held");
  element.addEventListener("pointermove", move);
  for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, release);
  if (sliding) move(event);
}

function zoomAt(event, entry) {
  if (event.target === entry.handle) return;
  const box = entry.element.getBoundingClientRect();
  view.x += (event.clientX - box.left - box.width / 2) / entry.scale;
  view.y += (event.clientY - box.top - box.height / 2) / entry.scale;
  setZoom(view.zoom === "fit" ? "1" : "fit");
}

function slideByKey(event) {
  const step = event.shiftKey ? 0.1 : 0.02;
  const to = { ArrowLeft: view.split - step, ArrowDown: view.split - step, ArrowRight: view.split + step, ArrowUp: view.split + step, Home: 0, End: 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  slide(to);
}

function moveByKey(event) {
  const step = (event.shiftKey ? 200 : 40) / (panes[0]?.scale || 1);
  const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
  if (!by) return;
  event.preventDefault();
  view.x += by[0];
  view.y += by[1];
  place();
}

function shortcut(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
  const actions = {
    n: () => choose(view.index + 1),
    p: () => choose(view.index - 1),
    s: () => setMode("slider"),
    b: () => setMode("side"),
    d: () => setMode("difference"),
    t: flip,
    0: () => setZoom("fit"),
    1: () => setZoom("1"),
    2: () => setZoom("2"),
    4: () => setZoom("4"),
  };
  actions[event.key]?.();
}
