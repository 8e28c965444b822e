// A drawing is a list of strokes, each a list of points in units of the paper's side. The paper shows it in the screen's
// own resolution; the network and the kept file get the same strokes on SIDE x SIDE pixels, wherever it was drawn.

import { $, ask, bar, fill, make, sentence, tell } from "./base.js";

const SIDE = 224; // of 754 drawings in many hands as many are read right as on 280 or 336, which take longer
const PEN = 0.035; // of the paper's side; of those drawings 735 are read right, with 0.045 and 0.06, which blot, 726 and 710
const IN_DOUBT = 0.9; // as digits/results/answers.py has it

const canvas = $("canvas");
const sheet = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });

let strokes = []; // as drawn now
let file = null; // a picture that was chosen, dropped or pasted instead
let past = []; // what these two were before, for Undo
let unkept = []; // of those, what was to be kept and was refused: it outlives the next one's keeping
let refused = null; // the picture that the server cannot read
let several = false; // whether what is there shows more digits than one, which cannot be kept as one
let classes = [];
const underway = new Map(); // pointers that are down, each with its stroke

// Drawing

function paint(surface) {
  const context = surface.getContext("2d");
  const side = surface.width;
  context.fillStyle = "white";
  context.fillRect(0, 0, side, side);
  context.lineWidth = PEN * side;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    context.beginPath();
    const [first, ...rest] = stroke.map(([x, y]) => [x * side, y * side]);
    context.moveTo(...first);
    for (const point of rest.length ? rest : [first]) context.lineTo(...point);
    context.stroke();
  }
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  remember();
  const stroke = [place(event)];
  underway.set(event.pointerId, stroke);
  file = null;
  strokes = [...strokes, stroke];
  tell("");
  changed();
});
canvas.addEventListener("pointermove", (event) => {
  const stroke = underway.get(event.pointerId);
  if (!stroke) return;
  const events = event.getCoalescedEvents?.() ?? [];
  stroke.push(...(events.length ? events : [event]).map(place));
  changed();
});
for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, (event) => underway.delete(event.pointerId) && !asking && speak());

const remember = () => past.push({ strokes, file });

function undo() {
  const before = past.pop();
  if (before) ({ strokes, file } = before);
  unkept = unkept.filter((one) => one !== before);
  underway.clear();
  changed();
}

function clear() {
  if (!isEmpty()) remember();
  [strokes, file] = [[], null];
  changed();
}

// As it is now: it may change or go before it is asked about, or kept.
async function take(chosen) {
  if (!chosen) return;
  $("read").ariaBusy = "true";
  let content;
  try {
    content = await chosen.arrayBuffer();
  } catch {
    $("read").ariaBusy = String(Boolean(asking));
    return tell(`${chosen.name} cannot be read: it is a folder, or has gone.`, true);
  }
  if (!isEmpty()) remember();
  [strokes, file] = [[], new File([content], chosen.name, { type: chosen.type })];
  tell("");
  changed();
}

function changed() {
  underway.size || (canvas.width = canvas.height = Math.round(canvas.clientWidth * devicePixelRatio));
  paint(canvas);
  showPicture();
  $("hint").hidden = !isEmpty();
  $("undo").disabled = !past.length;
  $("clear").disabled = isEmpty();
  offerToKeep();
  read();
}

const isEmpty = () => !strokes.length && !file;

function offerToKeep() {
  for (const button of $("classes").children) button.disabled = isEmpty() || several || (file && file === refused);
}

let shown = null;
function showPicture() {
  if (file === shown) return;
  if (shown) URL.revokeObjectURL($("picture").src);
  shown = file;
  $("picture").hidden = !file;
  $("picture").alt = file ? `The picture ${file.name}` : "";
  file ? ($("picture").src = URL.createObjectURL(file)) : $("picture").removeAttribute("src");
}
$("picture").addEventListener("error", () => ($("picture").hidden = true)); // the browser cannot show it

// What the server gets: the file as it is, or the drawing as a PNG. toBlob would put the encoding off until the browser
// has nothing else to do.
function content() {
  if (file) return file;
  paint(sheet);
  const bytes = atob(sheet.toDataURL("image/png").split(",")[1]);
  return new Blob([Uint8Array.from(bytes, (letter) => letter.charCodeAt(0))], { type: "image/png" });
}

const typeOf = (body) => ({ "Content-Type": body.type.startsWith("image/") ? body.type : "application/octet-stream" });

// Reading: one question at a time; what was drawn meanwhile is asked as it is once the answer has come. Of a picture that
// is not there any more, none is waited for.

const SOON = 1000; // ms, after which it is said that an answer is waited for
let asking = null; // the picture that is asked about, and what ends that
let stale = false;
async function read() {
  stale = true;
  if (asking) {
    if (asking.file !== file) asking.end.abort();
    return;
  }
  $("read").ariaBusy = "true";
  while (stale) {
    stale = false;
    if (isEmpty()) {
      show({ says: "" });
      continue;
    }
    asking = { file, end: new AbortController() };
    const { signal } = asking.end;
    const late = setTimeout(() => signal.aborted || show({ says: "Reading \u2026" }), SOON);
    try {
      const body = content();
      const answer = await ask("predict", { method: "POST", body, headers: typeOf(body), signal });
      refused = null;
      if (!isEmpty()) show(answer);
    } catch (error) {
      if (!signal.aborted) {
        refused = asking.file;
        show({ says: "", error: error.message });
      }
    }
    clearTimeout(late);
    offerToKeep();
  }
  asking = null;
  $("read").ariaBusy = "false";
}

function show({ says, error = "", probabilities = {}, seen, class: best, digits = [] }) {
  several = digits.length > 1;
  $("says").textContent = says || "\u00a0";
  $("says").classList.toggle("long", says.length > 20);
  $("why").textContent = several ? `${digits.length} digits. Keep one at a time.` : sentence(error);
  $("bars").hidden = several;
  showBoxes(digits);
  if (!underway.size) speak();
  $("seen").parentElement.hidden = !seen;
  if (seen) $("seen").src = seen;
  for (const row of $("bars").children) {
    fill(row, probabilities[row.dataset.class] ?? 0, row.dataset.class === best);
    if (!seen) row.querySelector(".share").textContent = "";
  }
  for (const button of $("classes").children) button.classList.toggle("best", button.dataset.class === best);
}

// A box's sides are shares of what was sent: the paper itself, or a picture that fills one of the paper's sides.
function showBoxes(digits) {
  const { naturalWidth, naturalHeight } = $("picture");
  const ratio = file && naturalHeight ? naturalWidth / naturalHeight : 1;
  const [wide, high] = [Math.min(ratio, 1), Math.min(1 / ratio, 1)];
  const percent = (share) => `${100 * share}%`;
  $("boxes").replaceChildren(...digits.map(({ class: name, confidence, box: [left, top, right, bottom] }) => {
    const item = make("li", { className: confidence < IN_DOUBT ? "doubtful" : "" });
    item.append(make("span", { textContent: confidence < IN_DOUBT ? `${name}?` : name }));
    Object.assign(item.style, {
      left: percent((1 - wide) / 2 + wide * left), width: percent(wide * (right - left)),
      top: percent((1 - high) / 2 + high * top), height: percent(high * (bottom - top)),
    });
    return item;
  }));
}

// A screen reader hears the answer when a stroke has ended, not while it is drawn.
function speak() {
  $("spoken").textContent = $("says").textContent.trim() || $("why").textContent;
}

// Keeping

async function keep(label) {
  if (isEmpty()) return tell("Nothing is drawn yet: draw, then keep.");
  if (several) return tell("These are several digits: keep one at a time.");
  const body = content();
  const kept = { strokes, file, past };
  [strokes, past, file] = [[], [...unkept], null]; // at once: the next one may be begun before the answer comes
  underway.clear();
  changed();
  tell("");
  try {
    await ask(`keep?class=${encodeURIComponent(label)}`, { method: "POST", body, headers: typeOf(body) });
  } catch (error) {
    const isNext = isEmpty() && past.length === unkept.length; // nothing was drawn since
    if (isNext) ({ strokes, file, past } = kept);
    else [unkept, past] = [[...unkept, kept], [kept, ...past]];
    changed();
    return tell(`Not kept as ${label}${isNext ? "" : ", and Undo brings it back"}: ${error.message}`, true);
  }
  const counts = await survey();
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  tell(`Kept as ${label}, which has ${pictures(counts[label])} now; all together ${pictures(all)}.`);
}

const pictures = (count) => `${count} ${count === 1 ? "picture" : "pictures"}`;

async function takeBack({ class: label, name }) {
  let outcome = [`Took back a drawing that was kept as ${label}.`];
  try {
    await ask(addressOf({ class: label, name }), { method: "DELETE" });
  } catch (error) {
    outcome = [`Not taken back: ${error.message}`, true];
  }
  // First, so that what is told is seen; after a refusal too, as another page may have taken it. Where nobody answers, the
  // list stays as it is.
  await survey().catch(() => {});
  tell(...outcome);
  ($("kept").querySelector("button") ?? canvas).focus?.();
}

const addressOf = ({ class: label, name }) => `kept/${encodeURIComponent(label)}/${name}`;

async function survey() {
  const { counts, last } = await ask("kept");
  for (const button of $("classes").children) {
    const count = counts[button.dataset.class] ?? 0;
    button.querySelector("small").textContent = count ? `${count} kept` : "\u00a0";
  }
  $("kept").replaceChildren(...last.map((drawing) => {
    const image = make("img", { src: addressOf(drawing), alt: `A drawing kept as ${drawing.class}` });
    const back = make("button", { textContent: "Take back", ariaLabel: `Take back this drawing of ${drawing.class}` });
    back.addEventListener("click", () => takeBack(drawing));
    const item = make("li", {});
    item.append(image, make("span", { textContent: drawing.class }), back);
    return item;
  }));
  $("next").hidden = !last.length;
  const lonely = Object.keys(counts).filter((name) => counts[name] === 1);
  $("lonely").textContent = lonely.length ? `Of ${lonely.join(", ")} keep another one first: a class needs two.` : "";
  return counts;
}

// The network, which can change at any time

let known = "";
async function meet() {
  let about;
  try {
    about = await ask("health");
  } catch (error) {
    [known, $("network").textContent] = ["", sentence(error.message)];
    return;
  }
  const met = JSON.stringify(about);
  if (met === known) return;
  const isFirst = !known;
  known = met;
  const right = about.accuracy === null ? "" : `, ${(100 * about.accuracy).toFixed(2)}% right on the test images of ${about.dataset}`;
  const name = about.network ?? "a network that dvc.lock does not know";
  const more = [about.assumed, about.trouble].filter(Boolean).map((said) => ` ${sentence(said)}`);
  $("network").textContent = `${name} answers${right}.${more.join("")}`;
  if (JSON.stringify(about.classes) !== JSON.stringify(classes)) offer(about.classes);
  await survey();
  if (!isFirst) tell("A new network answers from now on.");
  changed();
}

function offer(names) {
  classes = names;
  $("bars").replaceChildren(...classes.map(bar));
  $("classes").replaceChildren(...classes.map((name) => {
    const button = make("button", { textContent: name, disabled: true, ariaLabel: `Keep as ${name}` });
    button.classList.toggle("long", name.length > 4);
    button.dataset.class = name;
    button.append(make("small", { textContent: "\u00a0" }));
    button.addEventListener("click", () => keep(name));
    return button;
  }));
}

// Buttons, keys, and pictures from elsewhere

$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", clear);
$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  take($("file").files[0]);
  $("file").value = "";
});

// Where classes are digits, a key is the class of that name, else of that place.
const classOf = (key) => (classes.some((name) => /^[0-9]$/.test(name)) ? classes.find((name) => name === key) : classes[key]);

addEventListener("keydown", (event) => {
  if (event.repeat || event.altKey) return;
  if (event.ctrlKey || event.metaKey) {
    if (event.key.toLowerCase() !== "z") return;
    undo();
  } else if (event.key === "Escape") clear();
  else if (/^[0-9]$/.test(event.key) && classOf(event.key) !== undefined) keep(classOf(event.key));
  else return;
  event.preventDefault();
});

addEventListener("paste", (event) => take([...event.clipboardData.files].find((file) => file.type.startsWith("image/"))));
for (const kind of ["dragover", "dragleave", "drop"])
  addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files[0]);
  });

addEventListener("resize", changed);
setInterval(() => document.hidden || meet(), 2000);
document.addEventListener("visibilitychange", () => document.hidden || meet());
await meet();
