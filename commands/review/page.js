// One doubtful label at a time. Each decision is sent before the next image is shown: what is not written is not passed.

import { $, ask, bar, fill, make, sentence, tell } from "./base.js";

let about = { classes: [] };
let doubt = null; // what is shown
let start = 0; // where the search for the next one begins
let skipped = false;
let decided = false;
let busy = false;

// A class's key: where classes have names of one letter or digit, that; else 0 to 9 for the first ten.
let keys = new Map(); // from keys to classes

function keysOf(classes) {
  const short = classes.filter((name) => [...name].length === 1);
  if (!short.length) return new Map(classes.slice(0, 10).map((name, place) => [String(place), name]));
  const either = short.flatMap((name) => [[name.toLowerCase(), name], [name.toUpperCase(), name]]);
  return new Map([...either.reverse(), ...short.map((name) => [name, name])]);
}

const hasLetters = () => [...keys.keys()].some((key) => !/^[0-9]$/.test(key));

// Showing

function show(view) {
  doubt = view.doubt;
  start = doubt ? doubt.position : about.doubtful;
  for (const part of ["look", "think", "others", "right", "out", "skip"]) $(part).hidden = !doubt;
  $("over").hidden = !!doubt;
  $("again").hidden = !!doubt || !skipped || !view.left;
  $("undo").disabled = !view.undoable;
  $("next").hidden = !(decided || !doubt);
  const rows = [[view.corrected, "corrected"], [view.left_out, "left out"], [view.right, "found right"]];
  const done = rows.filter(([count]) => count).map(([count, what]) => `${count} ${what}`).join(", ");
  $("progress").textContent = `${view.left} of ${about.doubtful} left${done && `; ${done} in data/corrections.csv`}`;
  clearSearch();
  if (!doubt) {
    const passed = `You have gone through them; ${view.left === 1 ? "one was" : `${view.left} were`} skipped.`;
    $("over").textContent = view.left ? passed : "No doubtful label is left.";
    $("spoken").textContent = $("over").textContent;
    return;
  }
  const { label, likely, relatives } = doubt;
  $("image").src = doubt.seen;
  $("image").alt = `An image that is labelled ${label.label}`;
  $("question").textContent = `Labelled ${label.label}`;
  const split = { train: "a training", validation: "a validation", test: "a test" }[doubt.split];
  $("which").textContent = `${split} image of ${doubt.dataset}, ${doubt.file || doubt.image}`;
  $("right").firstElementChild.textContent = `It is ${label.label}`;
  const shown = likely.some((share) => share.label === label.label) ? likely : [...likely, label];
  $("bars").replaceChildren(...shown.map((share, place) => {
    const row = bar(share.label);
    fill(row, share.probability, place === 0);
    if (share.label === label.label) row.firstElementChild.append(" ", make("small", { className: "quiet", textContent: "its label" }));
    return row;
  }));
  $("relatives").replaceChildren(...relatives.map((relative) => {
    const item = make("li", { className: relative.label === label.label ? "" : "other", title: relative.label });
    item.append(make("img", { src: relative.seen, alt: "" }), make("span", { textContent: relative.label }));
    return item;
  }));
  const rather = likely.find((share) => share.label !== label.label);
  for (const button of $("classes").children) button.classList.toggle("best", button.dataset.class === rather.label);
  $("spoken").textContent = `Labelled ${label.label}; the network says ${shown.map(spoken).join(", ")}.`
    + ` Most alike: ${relatives.map((relative) => relative.label).join(", ")}.`;
}

const spoken = ({ label, probability }) => `${label} ${(100 * probability).toFixed(0)}%`;

// Deciding: one thing at a time, as a key that comes before the next image is shown was not meant for it.

async function act(address, body, said, failed) {
  if (busy) return;
  busy = true;
  try {
    const options = body && { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
    const view = await ask(address, options);
    decided ||= address === "decide";
    show(view);
    tell(said);
    if (document.activeElement.matches("button, input")) $("question").focus(); // Enter is for the image that is shown
  } catch (error) {
    tell(`${failed}: ${error.message}`, true);
  }
  busy = false;
}

function decide(label) {
  if (!doubt) return;
  const was = doubt.label.label;
  const said = !label ? `Left out: an image labelled ${was}` : label === was ? `Remembered as right: ${was}` : `Corrected: ${was} is ${label}`;
  return act("decide", { dataset: doubt.dataset, image: doubt.image, label }, said, "Not written");
}

const undo = () => $("undo").disabled || act("undo", {}, "Taken back", "Not taken back");

function skip() {
  if (!doubt) return;
  skipped = true;
  return act(`view?from=${start + 1}`, null, "Skipped", "Not skipped");
}

function again() {
  skipped = false;
  return act("view", null, "", "Not shown");
}

// Finding a class by its name

function found() {
  const typed = $("search").value.trim().toLowerCase();
  const names = typed ? about.classes.filter((name) => name.toLowerCase().includes(typed)) : [];
  const rank = (name) => (name.toLowerCase() === typed ? 0 : name.toLowerCase().startsWith(typed) ? 1 : 2);
  return names.sort((one, other) => rank(one) - rank(other));
}

function search() {
  const [names, typed] = [found(), $("search").value.trim()];
  for (const button of $("classes").children) {
    button.hidden = typed && !names.includes(button.dataset.class);
    button.classList.toggle("found", button.dataset.class === names[0]);
  }
  tell(typed && (names.length ? `Enter: it is ${names[0]}` : `No class has ${typed} in its name`));
}

function clearSearch() {
  $("search").value = "";
  search();
}

function leaveSearch() {
  clearSearch();
  $("question").focus();
}

$("search").addEventListener("input", search);

// Buttons and keys

$("right").addEventListener("click", () => decide(doubt.label.label));
$("out").addEventListener("click", () => decide(""));
$("skip").addEventListener("click", skip);
$("undo").addEventListener("click", undo);
$("again").addEventListener("click", again);

addEventListener("keydown", (event) => {
  const { key, target } = event;
  const searching = target === $("search");
  if (event.repeat || event.altKey || event.isComposing) return;
  if (event.ctrlKey || event.metaKey) {
    if (key.toLowerCase() !== "z" || event.shiftKey || (searching && target.value)) return;
    undo();
  } else if (searching) {
    if (key === "Enter" && found().length) decide(found()[0]);
    else if (key === "Escape") leaveSearch();
    else return;
  } else if (key === "Enter") {
    if (!doubt || target.closest("button")) return; // which Enter presses
    decide(doubt.label.label);
  } else if (key === "Delete" || key === "Backspace") decide("");
  else if (key === "ArrowRight" && !target.closest("pre")) skip();
  else if (keys.has(key)) decide(keys.get(key));
  else if (!doubt || $("search").hidden || target.closest("pre")) return;
  else if (key === "/") $("search").focus();
  else if (/^\p{L}$/u.test(key) && !hasLetters()) return $("search").focus(); // and the letter goes there
  else return;
  event.preventDefault();
});

// Beginning

try {
  about = await ask("about");
  keys = keysOf(about.classes);
  const few = about.classes.length <= 10;
  document.body.classList.toggle("ink", about.framing === "digit");
  $("search").hidden = few;
  $("slash").hidden = few;
  $("slash").textContent = hasLetters() ? "/ begins it" : "or just type";
  document.body.classList.toggle("many", !few);
  document.body.classList.toggle("short", about.classes.every((name) => name.length <= 3));
  $("commands").textContent = about.commands.join("\n");
  const hints = new Map([...keys].map(([key, name]) => [name, key]));
  $("classes").replaceChildren(...about.classes.map((name) => {
    const button = make("button", { ariaLabel: `It is ${name}` });
    button.dataset.class = name;
    button.append(make("span", { textContent: name }));
    if (hints.has(name) && [...name].length > 1) button.append(" ", make("kbd", { textContent: hints.get(name) }));
    button.addEventListener("click", () => decide(name));
    return button;
  }));
  show(await ask("view"));
} catch (error) {
  $("progress").textContent = sentence(error.message);
}
