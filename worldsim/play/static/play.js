// The page: sends held keys, draws frames. The protocol is described in protocol.py.
"use strict";

const $ = (id) => document.getElementById(id);
const context = $("canvas").getContext("2d");
const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/play`);
socket.binaryType = "arraybuffer";

const LABELS = {
  forward: "W ↑", backward: "S ↓", strafe_left: "A", strafe_right: "D", turn_left: "←", turn_right: "→",
  turn_left_small: ",", turn_right_small: ".", attack: "Space", use: "E", place: "F", next_item: "Q",
};
const SHOWN = Object.keys(LABELS);
let codes = {};
let worlds = {};         // source -> {name: title}
let held = new Set();
let queue = [];          // {bitmap, y, height, header, last} still to be drawn, oldest first
let nextDraw = 0;
let decoding = Promise.resolve();
let episode = 0;
let readUntil = 0;       // until then an error stays before the picture, though frames go on

const say = (message) => { if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message)); };

function notice(title, text = "") {
  $("notice").classList.toggle("on", Boolean(title));
  $("notice").querySelector("strong").textContent = title || "";
  $("notice").querySelector("span").textContent = text;
}

// Starting and changing

const source = () => document.querySelector("#sources input:checked").value;

function start() {
  const seed = $("seed").value === "" ? null : Number($("seed").value);
  if (seed !== null && !Number.isInteger(seed)) return notice("The seed is a whole number");
  const dream = source() === "dream";
  const prompt = dream ? $("prompt").value : "";
  say({ type: "start", source: source(), world: $("world").value || null, prompt, seed, drawn: $("drawn").checked });
  document.activeElement.blur();
  $("screen").focus();
}

function sourceChanged() {
  const dream = source() === "dream";
  for (const id of ["prompt", "text", "drawn"]) $(id).disabled = !dream;
  for (const button of $("change").querySelectorAll("button")) button.disabled = !dream;
  const chosen = $("world").value;
  $("world").replaceChildren(new Option(dream ? "the one that the prompt names" : "Doom rooms (default)", ""));
  for (const [name, title] of Object.entries(worlds[source()])) $("world").add(new Option(title, name));
  $("world").value = chosen in worlds[source()] ? chosen : "";
}

$("start").addEventListener("submit", (event) => { event.preventDefault(); start(); });
$("change").addEventListener("submit", (event) => {
  event.preventDefault();
  const kind = event.submitter ? event.submitter.value : "event";
  if ($("text").value.trim()) say({ type: "prompt", text: $("text").value, kind });
  document.activeElement.blur();
});
$("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); start(); }
});

function hello(message) {
  codes = message.keys;
  for (const name of Object.keys(message.worlds)) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "source", value: name });
    input.checked = name === message.source;
    input.addEventListener("change", sourceChanged);
    label.append(input, name === "dream" ? "Dream" : "True world");
    $("sources").append(label);
  }
  worlds = message.worlds;
  $("prompt").value = message.prompt;
  for (const id of ["prompt", "text"]) $(id).maxLength = message.max_text;
  for (const control of SHOWN) {
    const key = document.createElement("span");
    const name = document.createElement("b");
    name.textContent = LABELS[control];
    key.append(name, control.replaceAll("_", " "));
    key.dataset.control = control;
    $("keys").append(key);
  }
  sourceChanged();
  $("world").value = message.world || "";
  start();
}

// Keys

function report() {
  say({ type: "keys", held: [...held].slice(0, 16) });
  const controls = new Set([...held].map((code) => codes[code]));
  for (const key of $("keys").children) key.classList.toggle("held", controls.has(key.dataset.control));
}
const typing = () => ["INPUT", "TEXTAREA", "SELECT"].includes(document.activeElement.tagName) && document.activeElement.type !== "radio";

addEventListener("keydown", (event) => {
  if (typing() || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.code === "KeyR" && !event.repeat) return start();
  if (!(event.code in codes)) return;
  event.preventDefault();
  if (!held.has(event.code)) { held.add(event.code); report(); }
});
addEventListener("keyup", (event) => { if (held.delete(event.code)) report(); });
addEventListener("blur", () => { held.clear(); report(); });
document.addEventListener("visibilitychange", () => {
  held.clear();
  report();
  say({ type: "pause", paused: document.hidden });
});

// Frames

async function receive(buffer, mine) {
  const length = new DataView(buffer).getUint32(0);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const bitmap = await createImageBitmap(new Blob([new Uint8Array(buffer, 4 + length)], { type: "image/jpeg" }));
  say({ type: "ack", step: header.step });
  if (mine !== episode) return;
  const height = bitmap.height / header.n_frames;
  for (let i = 0; i < header.n_frames; i++) {
    queue.push({ bitmap, y: i * height, height, header, last: i === header.n_frames - 1 });
  }
  while (queue.length > 10) queue.shift();  // far behind: skip frames, never answer late
}

function draw(now) {
  requestAnimationFrame(draw);
  if (!queue.length || now < nextDraw) return;
  const { bitmap, y, height, header, last } = queue.shift();
  const period = 1000 / header.fps;
  nextDraw = Math.max(nextDraw + period, now + period / 2);
  if ($("canvas").width !== bitmap.width || $("canvas").height !== height) {
    Object.assign($("canvas"), { width: bitmap.width, height });
  }
  context.drawImage(bitmap, 0, y, bitmap.width, height, 0, 0, bitmap.width, height);
  if (last) describe(header);
}

const number = (value, digits) => (value === null ? "–" : value.toFixed(digits));

function describe(header) {
  $("step").textContent = header.step;
  $("action").textContent = header.action || "–";
  $("reward").textContent = number(header.reward, 2);
  $("total").textContent = number(header.total, 2);
  $("hallucination").textContent = number(header.hallucination, 2);
  $("meter").value = header.hallucination || 0;
  $("speed").textContent = header.steps_per_second ? `${number(header.steps_per_second, 1)} steps/s` : "–";
  $("used").textContent = header.seed;
  $("model").textContent = header.model || "–";
  $("where").textContent = header.model ? "a world inside a neural network, on this machine" : "the true world";
  $("understood").textContent = [header.prompt, header.nearest, header.goal, header.event].filter(Boolean).join(" · ");
  document.body.dataset.step = header.step;
  if (performance.now() > readUntil) notice("");
  if (header.terminated || header.truncated) {
    const why = header.invalid ? "the model lost itself" : header.terminated ? "it is over" : "the time is up";
    notice(`Episode ended: ${why}`, `total reward ${number(header.total, 2)} in ${header.step} steps. Press R to start again.`);
  }
}

socket.addEventListener("message", ({ data }) => {
  if (typeof data !== "string") {
    const mine = episode;
    decoding = decoding.then(() => receive(data, mine)).catch((error) => notice("A frame could not be read", String(error)));
    return;
  }
  const message = JSON.parse(data);
  if (message.type === "hello") hello(message);
  else if (message.type === "opening") { episode++; queue = []; readUntil = 0; notice("Opening the world …"); }
  else if (message.type === "error") {
    readUntil = message.stopped ? Infinity : performance.now() + 4000;
    notice("That did not work", message.text);
  }
});
socket.addEventListener("close", ({ reason }) => {
  $("where").textContent = "disconnected";
  notice("Disconnected", reason || "The server has stopped, or refused this page. Reload to try again.");
});
requestAnimationFrame(draw);
