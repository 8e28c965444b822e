// What the pages share: how they ask their server, and say what came of it.

export const $ = (id) => document.getElementById(id);

export const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

export const sentence = (text) => text && `${text[0].toUpperCase()}${text.slice(1)}${/[.?]$/.test(text) ? "" : "."}`;

export async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("the server does not answer; is it still running?");
  }
  const answer = response.status === 204 ? {} : await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

export function tell(text, isBad = false) {
  $("told").textContent = text && sentence(text);
  $("told").classList.toggle("bad", isBad);
}

// A row of a list of probabilities: a class, and a bar as long as it is probable.
export function bar(name) {
  const row = make("li", {});
  row.dataset.class = name;
  const bar = make("span", { className: "bar", ariaHidden: "true" });
  bar.append(make("i", {}));
  row.append(make("span", { textContent: name }), bar, make("span", { className: "share" }));
  return row;
}

export function fill(row, share, isBest) {
  row.classList.toggle("best", isBest);
  row.querySelector("i").style.transform = `scaleX(${share})`;
  row.querySelector(".share").textContent = `${(100 * share).toFixed(1)}%`;
}
