"use strict";

// The server sends the scores of each image. All that depends on the threshold is computed here, so that every
// decision follows the slider at once.
const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const BARS = 40;

let state = null; // the answer to GET state
let threshold = 0;
let source = "own"; // or "trial": the prompts on trial
let version = 0; // of the heat maps, so that the browser does not show cached ones
const cards = new Map(); // by the image's number

// Requests

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer; is it still running?");
  }
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

const post = (path, content) => ask(path, { method: "POST", body: JSON.stringify(content) });

function tell(text) {
  byId("status").textContent = text;
}

function complain(problems) {
  byId("problems").replaceChildren(...problems.map((text) => element("p", {}, text)));
  byId("problems").hidden = !problems.length;
}

// Runs an action; `elements` are disabled while it runs.
async function attempt(elements, work) {
  complain([]);
  elements.forEach((each) => (each.disabled = true));
  try {
    await work();
  } catch (error) {
    tell("");
    complain([error.message]);
  } finally {
    elements.forEach((each) => (each.disabled = false));
  }
}

function element(name, attributes, text) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Decisions

const shown = (number) => String(Number(Number(number).toPrecision(4)));
const isBad = (score) => score > threshold;
const decision = (score) => (isBad(score) ? "bad" : "good");
const probability = (score) => 1 / (1 + Math.exp((threshold - score) / state.decision.scale));
const prediction = (image) => image[source] ?? image.own;
const share = (part, whole) => (whole ? `${part} of ${whole} (${((100 * part) / whole).toFixed(1)}%)` : "none yet");

// Version 0 of a reference image is the image itself; a single reference image has only other versions.
function referenceScores() {
  const own = state.reference_scores.filter(([version]) => version === 0);
  return (own.length ? own : state.reference_scores).map(([, score]) => score);
}

// Reads a number with a decimal point or comma; anything else, such as "1.000,5", is NaN.
const typed = (text) => (/^\s*[-+]?(\d+[.,]?\d*|[.,]\d+)(e[-+]?\d+)?\s*$/i.test(text) ? Number(text.replace(",", ".")) : NaN);

let before = 0; // the threshold when typing began

function typeThreshold(text) {
  const value = typed(text);
  byId("threshold-value").setAttribute("aria-invalid", String(!Number.isFinite(value)));
  complain(Number.isFinite(value) ? [] : [`"${text}" is not a number; write for example 0.25`]);
  setThreshold(Number.isFinite(value) ? value : before); // an invalid text leaves no trace
}

function setThreshold(value) {
  if (!Number.isFinite(value)) return;
  threshold = value;
  showThreshold();
  state.images.forEach(showDecision);
}

function showThreshold() {
  const scores = state.images.map((image) => prediction(image).score);
  const references = referenceScores();
  const all = [...scores, ...references, state.decision.threshold, threshold];
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const margin = 0.08 * (most - least) || 0.05 * Math.abs(most) || 0.05;
  const [low, high] = [least - margin, most + margin];
  const slider = byId("threshold");
  [slider.min, slider.max, slider.value] = [low, high, threshold];
  slider.setAttribute("aria-valuetext", shown(threshold));
  if (document.activeElement !== byId("threshold-value")) byId("threshold-value").value = shown(threshold);
  byId("low").textContent = shown(low);
  byId("high").textContent = shown(high);
  drawHistogram(references, scores, low, high);

  const marked = (mark) => state.images.filter((image) => image.mark === mark);
  const count = (images, bad) => images.filter((image) => isBad(prediction(image).score) === bad).length;
  byId("called-bad").textContent = share(count(state.images, true), state.images.length);
  byId("references-above").textContent = share(references.filter(isBad).length, references.length);
  byId("missed").textContent = share(count(marked("bad"), false), marked("bad").length);
  byId("false-alarms").textContent = share(count(marked("good"), true), marked("good").length);
  byId("save-threshold").disabled = threshold === state.decision.threshold;
  byId("flag").hidden = threshold === state.decision.threshold;
  byId("flag").querySelector("code").textContent = `--threshold=${threshold}`;
  byId("refit-what").textContent = `${marked("good").length} marked good, ${marked("bad").length} marked bad.`;
  showEffect();
}

function drawHistogram(references, scores, low, high) {
  const at = (score) => (480 * (score - low)) / (high - low);
  const counts = new Array(BARS).fill(0);
  references.forEach((score) => (counts[Math.min(BARS - 1, Math.floor((BARS * (score - low)) / (high - low)))] += 1));
  const highest = Math.max(1, ...counts);
  const wide = 480 / BARS;
  const bars = counts.map((count, n) => [n, (72 * count) / highest]).filter(([, height]) => height);
  const line = (x, top, bottom, kind) => drawn("line", { x1: x, x2: x, y1: top, y2: bottom, class: kind });
  byId("histogram").replaceChildren(
    ...bars.map(([n, height]) =>
      drawn("rect", { x: n * wide + 0.5, y: 76 - height, width: wide - 1, height, class: "references" })
    ),
    drawn("line", { x1: 0, x2: 480, y1: 76, y2: 76, class: "base" }),
    ...scores.map((score) => line(at(score), 80, 100, "images")),
    line(at(threshold), 0, 100, "threshold")
  );
  const label = `${references.length} reference images and ${scores.length} images from ${shown(low)} to ${shown(high)}`;
  byId("histogram").setAttribute("aria-label", `${label}, the threshold at ${shown(threshold)}`);
}

function showEffect() {
  const both = state.images.filter((image) => image.trial);
  const other = both.filter((image) => isBad(image.own.score) !== isBad(image.trial.score)).length;
  byId("prompts-effect").textContent = state.trial ? `${other} of ${both.length} decisions differ.` : "";
}

// Cards

function addCard(image) {
  const card = byId("card").content.firstElementChild.cloneNode(true);
  const { name, number } = image;
  card.querySelector(".image").src = `images/${number}/image`;
  card.querySelector(".image").alt = name;
  card.querySelector(".name").textContent = name;
  card.querySelector(".boxes").setAttribute("viewBox", `0 0 ${image.size[1]} ${image.size[0]}`);
  card.querySelector(".boxes").setAttribute("preserveAspectRatio", "none");
  for (const button of card.querySelectorAll("[data-mark]")) {
    button.addEventListener("click", () => attempt([], () => mark(number, button.dataset.mark)));
  }
  const remove = card.querySelector(".remove");
  remove.setAttribute("aria-label", `Remove ${name}`);
  remove.addEventListener("click", () => attempt([remove], () => removeImage(number)));
  cards.set(number, card);
  card.querySelector(".stack").setAttribute("aria-label", `Enlarge ${name}`);
  enlargeable(card, number);
  byId("images").append(card);
}

function showImage(image) {
  if (!cards.has(image.number)) addCard(image);
  const card = cards.get(image.number);
  const layer = source === "trial" && image.trial ? "trial" : "own";
  card.querySelector(".heat").src = `images/${image.number}/${layer}?v=${version}`;
  card.querySelector(".boxes").replaceChildren(
    ...prediction(image).boxes.map(({ x, y, width, height }) => drawn("rect", { x, y, width, height }))
  );
  for (const button of card.querySelectorAll("[data-mark]")) {
    button.setAttribute("aria-pressed", String(image.mark === button.dataset.mark));
  }
  showDecision(image);
}

function showDecision(image) {
  const card = cards.get(image.number);
  const { score, boxes } = prediction(image);
  card.classList.toggle("bad", isBad(score));
  card.querySelector(".decision").textContent = decision(score);
  const regions = boxes.length === 1 ? "1 box" : `${boxes.length} boxes`;
  const probable = `probability ${(100 * probability(score)).toFixed(1)}%`;
  card.querySelector(".numbers").textContent = `score ${shown(score)}, ${probable}, ${regions}`;
  const other = card.querySelector(".other");
  other.hidden = !image.trial;
  if (image.trial) {
    const results = ["own", "trial"].map((who) => `${shown(image[who].score)} ${decision(image[who].score)}`);
    other.textContent = `own prompts: ${results[0]}; on trial: ${results[1]}`;
  }
  const mistake = card.querySelector(".mistake");
  const wrong = image.mark && image.mark !== decision(score);
  mistake.textContent = image.reference
    ? "A reference image of the detector."
    : wrong && (image.mark === "bad" ? "Missed: marked bad." : "False alarm: marked good.");
  mistake.hidden = !image.reference && !wrong;
  arrange();
}

function showAll(fresh) {
  const before = state?.decision.threshold;
  state = fresh;
  if (state.decision.threshold !== before) threshold = state.decision.threshold;
  version += 1;
  if (!state.trial) source = "own";
  byId("source").hidden = !state.trial;
  document.querySelector(`[name=source][value=${source}]`).checked = true;
  byId("detector").textContent = state.name;
  document.title = `${state.object} - ${state.name}`;
  byId("rule").textContent = state.rule;
  byId("no-prompts").textContent = state.why_no_prompts;
  byId("no-prompts").hidden = state.prompts !== null;
  byId("prompts").hidden = state.prompts === null;
  byId("own-prompts").disabled = !state.trial;
  byId("refit").hidden = state.out === null;
  byId("no-refit").hidden = state.out !== null;
  byId("out").textContent = state.out ?? "";
  byId("refit-name").value = state.suggested ?? "";
  byId("refit-prompts").checked = false;
  byId("refit-prompts").disabled = !state.trial;
  showImages();
}

function fillPrompts(prompts) {
  for (const kind of ["good", "bad"]) byId(`prompts-${kind}`).value = prompts?.[kind].join("\n") ?? "";
}

function showImages() {
  const numbers = new Set(state.images.map((image) => image.number));
  for (const [number, card] of cards) {
    if (!numbers.has(number)) {
      card.remove();
      cards.delete(number);
    }
  }
  state.images.forEach(showImage);
  byId("empty").hidden = state.images.length > 0;
  showThreshold();
}

// Actions

function put(image) {
  const before = state.images.findIndex((other) => other.number === image.number);
  if (before < 0) state.images.push(image);
  else state.images[before] = image;
  showImage(image);
  byId("empty").hidden = true;
  showThreshold();
}

async function addFiles(files) {
  const problems = [];
  const most = Number(byId("files").dataset.most);
  complain([]);
  for (const [n, file] of files.entries()) {
    tell(`Scoring ${file.name}, ${n + 1} of ${files.length} ...`);
    try {
      if (file.size > most) throw new Error(`${file.name}: is larger than ${most / 2 ** 20} MB; make it smaller`);
      put(await ask(`images?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file }));
    } catch (error) {
      problems.push(error.message);
    }
  }
  tell(`${files.length - problems.length} of ${files.length} scored.`);
  complain(problems);
}

async function mark(number, kind) {
  const before = state.images.find((image) => image.number === number).mark;
  put(await post(`images/${number}/mark`, { mark: before === kind ? null : kind }));
}

async function removeImage(number) {
  await ask(`images/${number}`, { method: "DELETE" });
  state.images = state.images.filter((image) => image.number !== number);
  showImages();
  byId("files").focus();
}

async function tryPrompts(prompts) {
  tell("Scoring with other prompts ...");
  source = prompts.good ? "trial" : "own";
  const fresh = await post("prompts", prompts);
  showAll(fresh);
  if (!prompts.good) fillPrompts(state.prompts);
  tell(prompts.good ? "Scored with these prompts too." : "Scored with the detector's own prompts.");
}

function typedPrompts() {
  const lines = (kind) => byId(`prompts-${kind}`).value.split("\n").filter((line) => line.trim());
  return { good: lines("good"), bad: lines("bad") };
}

async function showProgress() {
  const { scored, total } = await ask("refit");
  if (!total) return;
  [byId("refit-bar").max, byId("refit-bar").value] = [total, scored];
  byId("refit-progress").textContent = `${scored} of ${total} images scored`;
}

async function refit() {
  const thresholdBefore = shown(state.decision.threshold);
  setThreshold(state.decision.threshold);
  const missedBefore = byId("missed").textContent;
  byId("refitting").hidden = false;
  byId("refit-bar").removeAttribute("value");
  byId("refit-progress").textContent = "";
  tell("Refitting; this takes as long as the first fit ...");
  const timer = setInterval(() => showProgress().catch(() => {}), 300);
  try {
    const [name, replace, prompts] = [byId("refit-name").value, byId("refit-replace").checked, byId("refit-prompts").checked];
    const fresh = await post("refit", { name, replace, prompts });
    source = "own";
    byId("refit-replace").checked = false;
    threshold = fresh.decision.threshold;
    showAll(fresh);
    fillPrompts(state.prompts);
    complain(fresh.skipped);
    const after = `Missed at threshold ${shown(threshold)}: ${byId("missed").textContent}`;
    const earlier = `before, at ${thresholdBefore}: ${missedBefore}`;
    tell(`Saved as ${fresh.name} in ${fresh.out}, which scores the images now. ${after}; ${earlier}.`);
  } finally {
    clearInterval(timer);
    byId("refitting").hidden = true;
  }
}

async function saveThreshold() {
  const fresh = await post("threshold", { threshold });
  showAll(fresh);
  tell(`Saved in ${fresh.name}: the threshold is now ${shown(threshold)}.`);
}

function start() {
  startGallery();
  byId("files").addEventListener("change", async (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    await addFiles(files);
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    if (event.dataTransfer.files.length) addFiles([...event.dataTransfer.files]);
  });
  byId("threshold").addEventListener("input", (event) => setThreshold(event.target.valueAsNumber));
  byId("threshold-value").addEventListener("input", (event) => typeThreshold(event.target.value));
  byId("threshold-value").addEventListener("focus", () => (before = threshold));
  byId("threshold-value").addEventListener("blur", () => {
    byId("threshold-value").removeAttribute("aria-invalid");
    showThreshold();
  });
  byId("save-threshold").addEventListener("click", () => attempt([byId("save-threshold")], saveThreshold));
  byId("reset").addEventListener("click", () => setThreshold(state.decision.threshold));
  byId("opacity").addEventListener("input", (event) => {
    document.body.style.setProperty("--opacity", event.target.valueAsNumber / 100);
  });
  byId("boxes").addEventListener("change", (event) => {
    document.body.classList.toggle("no-boxes", !event.target.checked);
  });
  byId("source").addEventListener("change", (event) => {
    source = event.target.value;
    showImages();
  });
  byId("prompts").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt([event.submitter].filter(Boolean), () => tryPrompts(typedPrompts()));
  });
  byId("own-prompts").addEventListener("click", () => attempt([], () => tryPrompts({})));
  byId("refit").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt([byId("refit-start")], refit);
  });
  attempt([], async () => {
    showAll(await ask("state"));
    if (state.trial) source = "trial";
    fillPrompts(state.trial ?? state.prompts);
    showImages();
    document.querySelector(`[name=source][value=${source}]`).checked = true;
  });
}

start();
