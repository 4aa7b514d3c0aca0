// The review page: a grid of which only the visible rows exist, and keys that decide.

const WIDTH = 156, HEIGHT = 188, PAGE = 200, CHECK = 2000;
const $ = (id) => document.getElementById(id);
const scroller = $("scroller"), grid = $("grid");
const FILTERS = { stage: "stage", label: "label", reason: "reason", detector: "found by", decision: "decided" };

let labels = [], total = 0, version = 0, columns = 1;
let rows = new Map(), asked = new Set(), cells = new Map();
let here = 0, anchor = 0, chosen = new Set(), undo = [], question = 0;

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, options);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.detail);
  return content;
}

const say = (text) => { $("said").textContent = text; };
const guarded = (work) => work().catch((error) => say(`Not done: ${error.message}`));

// Filters live in the address, so that a link shows the same pictures.
const query = () => new URLSearchParams(location.search);

async function start() {
  const { facets, labels: names, version: now } = await ask("facets");
  [labels, version] = [names, now];
  $("labels").textContent = `label: ${labels.slice(0, 9).map((label, place) => `${place + 1} ${label}`).join(", ")}`;
  for (const [name, title] of Object.entries(FILTERS)) addFilter(name, title, facets[name]);
  addFilter("order", "order", { suspicion: null });
  await load();
}

function addFilter(name, title, values) {
  const label = document.createElement("label"), select = document.createElement("select");
  label.append(title, select);
  select.name = name;
  select.append(new Option(name === "order" ? "by name" : "all", ""));
  for (const [value, count] of Object.entries(values)) {
    if (value) select.append(new Option(count === null ? "most suspicious first" : `${value} (${count.toLocaleString("en")})`, value));
  }
  select.value = query().get(name) ?? "";
  select.addEventListener("change", () => {
    const search = query();
    select.value ? search.set(name, select.value) : search.delete(name);
    history.replaceState(null, "", `?${search}`);
    guarded(load);
    scroller.focus();
  });
  $("filters").append(label);
}

async function load() {
  question += 1;
  [rows, asked, here, anchor] = [new Map(), new Set(), 0, 0];
  chosen.clear();
  cells.forEach((cell) => cell.remove());
  cells.clear();
  scroller.scrollTop = 0;
  await fetchPage(0);
  layOut();
}

// Places of the rows that the filters no longer find, because they were decided on. They stay where they are.
function gone() {
  const search = query();
  const found = (row, name) => !search.get(name) || search.get(name) === (row[name] || "none");
  return [...rows.keys()].filter((place) => !["label", "decision"].every((name) => found(rows.get(place), name)));
}

async function fetchPage(page) {
  if (asked.has(page)) return;
  asked.add(page);
  const search = query(), mine = question, first = page * PAGE, left = gone();
  search.delete("token");
  search.set("start", first - left.filter((place) => place < first).length);
  search.set("count", PAGE);
  const found = await ask(`items?${search}`);
  if (mine !== question) return;
  total = found.total + left.length;
  found.rows.forEach((row, place) => rows.set(first + place, row));
  $("count").textContent = `${total.toLocaleString("en")} pictures`;
  draw();
}

function layOut() {
  columns = Math.max(1, Math.floor(scroller.clientWidth / WIDTH));
  $("space").style.height = `${Math.ceil(total / columns) * HEIGHT}px`;
  cells.forEach((cell) => cell.remove());
  cells.clear();
  draw();
}

function draw() {
  const first = Math.max(0, Math.floor(scroller.scrollTop / HEIGHT) - 2) * columns;
  const last = Math.min(total, (Math.ceil((scroller.scrollTop + scroller.clientHeight) / HEIGHT) + 2) * columns);
  for (const [place, cell] of cells) {
    if (place < first || place >= last) { cell.remove(); cells.delete(place); }
  }
  for (let place = first; place < last; place++) {
    if (!rows.has(place)) { guarded(() => fetchPage(Math.floor(place / PAGE))); continue; }
    if (!cells.has(place)) cells.set(place, newCell(place));
    fill(cells.get(place), place);
  }
}

function newCell(place) {
  const cell = document.createElement("li"), image = document.createElement("img");
  const name = document.createElement("p"), word = document.createElement("p");
  cell.className = "cell";
  cell.setAttribute("role", "option");
  cell.style.left = `${(place % columns) * WIDTH}px`;
  cell.style.top = `${Math.floor(place / columns) * HEIGHT}px`;
  image.loading = "lazy";
  image.src = `thumbnail/${rows.get(place).number}`;
  image.addEventListener("error", () => image.removeAttribute("src"), { once: true });
  cell.append(image, name, word);
  cell.addEventListener("click", (event) => {
    if (event.shiftKey) chooseTo(place);
    else if (event.ctrlKey || event.metaKey) toggle(place);
    else chosen.clear();
    moveTo(place, event.shiftKey);
  });
  cell.addEventListener("dblclick", () => guarded(lookClosely));
  grid.append(cell);
  return cell;
}

function fill(cell, place) {
  const row = rows.get(place), [image, name, word] = cell.children;
  cell.className = ["cell", row.decision, place === here && "here", chosen.has(place) && "chosen"].filter(Boolean).join(" ");
  cell.setAttribute("aria-selected", chosen.has(place) || place === here);
  image.alt = row.key;
  name.textContent = cell.title = row.key;
  const label = document.createElement("b"), decided = document.createElement("span");
  label.textContent = row.label;
  decided.className = "word";
  decided.textContent = { keep: " kept", drop: " dropped" }[row.decision] ?? "";
  const doubt = row.likely && row.likely !== row.label ? ` like ${row.likely} ${Math.round(100 * (1 - row.confidence))}%` : "";
  word.replaceChildren(label, decided, row.reason === "kept" ? doubt : ` ${row.reason}`);
}

function moveTo(place, range = false) {
  here = Math.min(Math.max(place, 0), Math.max(0, total - 1));
  if (!range) anchor = here;
  const top = Math.floor(here / columns) * HEIGHT;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  if (top + HEIGHT > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + HEIGHT - scroller.clientHeight;
  draw();
  if ($("close").open) guarded(lookClosely);
}

function chooseTo(place) {
  chosen.clear();
  for (let one = Math.min(anchor, place); one <= Math.max(anchor, place); one++) chosen.add(one);
}

function toggle(place) {
  chosen.has(place) ? chosen.delete(place) : chosen.add(place);
}

async function decide(decision, label, crop) {
  const places = (chosen.size ? [...chosen].sort((a, b) => a - b) : [here]).filter((place) => rows.has(place));
  if (!places.length) return;
  const numbers = places.map((place) => rows.get(place).number);
  const answer = await ask("decide", { numbers, decision, label, crop });
  undo.push(answer.before);
  take(answer);
  const done = label ? `labelled ${label}` : crop ? "given a crop" : { keep: "kept", drop: "dropped" }[decision];
  say(`${places.length === 1 ? rows.get(places[0]).key : `${places.length} pictures`} ${done}. u undoes it.`);
  chosen.clear();
  if (!crop) moveTo(places.at(-1) + 1);
}

async function takeBack() {
  if (!undo.length) return say("There is nothing to undo.");
  take(await ask("restore", { before: undo.pop() }));
  say("Undone.");
}

function take(answer) {
  version = answer.version;
  const changed = new Map(answer.rows.map((row) => [row.number, row]));
  for (const [place, row] of rows) if (changed.has(row.number)) rows.set(place, changed.get(row.number));
  draw();
}

async function lookClosely() {
  const row = rows.get(here);
  if (!row) return;
  const about = await ask(`item/${row.number}`), { facts } = about;
  $("close-title").textContent = row.key;
  $("picture").src = `picture/${row.number}`;
  $("picture").alt = row.key;
  const state = row.reason ? `${row.stage}: ${row.reason}` : `kept by ${row.stage} so far`;
  const told = [`label ${row.label}`, row.reason === "kept" ? "in the data set" : state];
  if (facts.detector) told.push(`face found by ${facts.detector}`);
  if (facts.distance !== undefined) told.push(`distance ${facts.distance}`);
  $("facts").textContent = told.join(", ");
  $("other").hidden = !about.of.length;
  if (about.of.length) {
    $("twin").src = `picture/${about.of[0]}`;
    $("twin-name").textContent = "The picture it is like. k says that it is no copy and keeps it.";
  }
  await $("picture").decode().catch(() => {});
  mark(facts, about.set_crop);
  if (!$("close").open) $("close").showModal();
}

function mark(facts, set) {
  const svg = $("marks"), image = $("picture");
  svg.setAttribute("viewBox", `0 0 ${image.naturalWidth || 1} ${image.naturalHeight || 1}`);
  svg.replaceChildren();
  const shape = (name, values, kind) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(values).forEach(([key, value]) => element.setAttribute(key, value));
    element.setAttribute("class", kind);
    svg.append(element);
  };
  const box = ([x, y, width, height], kind) => shape("rect", { x, y, width, height }, kind);
  if (facts.face) box(facts.face, "face");
  if (facts.crop) box(facts.crop, "crop");
  if (set) box([set[0], set[1], set[2], set[2]], "set");
  const radius = Math.max(image.naturalWidth, image.naturalHeight) / 220;
  for (const [cx, cy] of facts.landmarks ?? []) shape("circle", { cx, cy, r: radius }, "point");
}

// Dragging over the picture sets a square, in the picture's own pixels.
let drag = null;
const inPicture = (event) => {
  const image = $("picture"), frame = image.getBoundingClientRect(), scale = image.naturalWidth / frame.width;
  return [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
};
const square = ([x, y], [toX, toY]) => {
  const side = Math.round(Math.max(Math.abs(toX - x), Math.abs(toY - y)));
  return [Math.round(toX < x ? x - side : x), Math.round(toY < y ? y - side : y), side];
};
$("frame").addEventListener("pointerdown", (event) => {
  drag = inPicture(event);
  $("frame").setPointerCapture(event.pointerId);
  event.preventDefault();
});
$("frame").addEventListener("pointermove", (event) => {
  if (drag) mark({}, square(drag, inPicture(event)));
});
$("frame").addEventListener("pointerup", (event) => {
  const crop = drag && square(drag, inPicture(event));
  drag = null;
  if (crop && crop[2] >= 8) guarded(async () => { chosen.clear(); await decide("keep", undefined, crop); await lookClosely(); });
});

const MOVES = { ArrowLeft: () => -1, h: () => -1, ArrowRight: () => 1, l: () => 1, ArrowUp: () => -columns, ArrowDown: () => columns, j: () => columns };
const ACTIONS = {
  k: () => guarded(() => decide("keep")),
  x: () => guarded(() => decide("drop")),
  u: () => guarded(takeBack),
  " ": () => { toggle(here); moveTo(here + 1); },
  Enter: () => guarded(lookClosely),
  "?": () => $("keys").showModal(),
  Escape: () => { chosen.clear(); draw(); },
  Home: () => moveTo(0),
  End: () => moveTo(total - 1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
  if (event.target.matches("button") && ["Enter", " "].includes(event.key)) return;
  if (event.key === "Escape" && document.querySelector("dialog[open]")) return;
  const move = MOVES[event.key], label = labels[Number(event.key) - 1];
  if (move) {
    const target = Math.min(Math.max(here + move(), 0), total - 1);
    if (event.shiftKey) chooseTo(target);
    moveTo(target, event.shiftKey);
  } else if (event.key >= "1" && event.key <= "9" && label !== undefined) guarded(() => decide("keep", label));
  else if (ACTIONS[event.key]) ACTIONS[event.key]();
  else return;
  event.preventDefault();
});

let waiting = false;
scroller.addEventListener("scroll", () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
});
new ResizeObserver(() => { if (total) layOut(); }).observe(scroller);
$("help").addEventListener("click", () => $("keys").showModal());
setInterval(() => guarded(async () => {
  const answer = await ask(`changes?since=${version}`);
  if (answer.rows.length) take(answer);
}), CHECK);

guarded(start);
scroller.focus();
