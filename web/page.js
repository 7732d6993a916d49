// The page: files in, sliders, players, microphone. All computing is in worker.js.

import { decode, wav } from "./sound.js";

const find = (id) => document.getElementById(id);
const BEGUN_SHARE = 0.3; // of a block, of sound that waits before it is played
const FORMATS = { pitch_shift: (value) => `${value > 0 ? "+" : ""}${value} st` };
const SLIDERS = {
  pitch_shift: { label: "Pitch", hint: "semitones higher or lower", min: -24, max: 24, step: 1 },
  index_rate: { label: "Likeness", hint: "index_rate: sounds taken from the voice's own recordings", min: 0, max: 1, step: 0.05 },
  protect: { label: "Protect", hint: "protect: 0.5 lets likeness touch breath and s, too", min: 0, max: 0.5, step: 0.01 },
  loudness_mix: { label: "Own loudness", hint: "loudness_mix: 0 follows the input's level exactly", min: 0, max: 1, step: 0.05 },
};

const worker = new Worker("worker.js", { type: "module" });
const waiting = new Map();
let number = 0, voice = null, sound = null, values = {}, live = null;

worker.onmessage = ({ data: { id, progress, answer, error } }) => {
  const { tell, resolve, reject } = waiting.get(id);
  if (progress) tell?.(progress);
  else {
    waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve(answer);
  }
};
worker.onerror = (event) => fail(`The worker did not start: ${event.message ?? "is vendor/ there? Type: make web"}`);

/** Give the worker an order and return its answer. */
function ask(kind, message = {}, { tell, transfer = [] } = {}) {
  const id = ++number;
  return new Promise((resolve, reject) => {
    waiting.set(id, { tell, resolve, reject });
    worker.postMessage({ id, kind, ...message }, transfer);
  });
}

function fail(message) {
  find("error").textContent = message;
  find("error").hidden = !message;
}

/** Run what a person asked for; what goes wrong is said in one line. */
async function attempt(work) {
  fail("");
  try {
    await work();
  } catch (error) {
    fail(error?.message ?? String(error));
  }
}

async function openVoice(file) {
  stopLive();
  find("voice-state").textContent = `Opening ${file.name} ...`;
  for (const part of ["controls", "file", "live"]) find(`${part}-section`).hidden = true;
  find("voice-facts").hidden = true;
  voice = null;
  try {
    const bytes = await file.arrayBuffer();
    voice = await ask("load", { bytes }, { transfer: [bytes] });
  } finally {
    find("voice-state").textContent = "";
  }
  showVoice(file.name);
  showControls();
  if (sound) await openSound(sound.file);
  for (const part of ["controls", "file", "live"]) find(`${part}-section`).hidden = false;
}

function showVoice(name) {
  const { metadata, factor, threads } = voice;
  const speakers = metadata.speakers.map((speaker) =>
    speaker.f0_median_hz ? `${speaker.name} (median pitch ${Math.round(speaker.f0_median_hz)} Hz)` : speaker.name);
  const rows = {
    Voice: metadata.name,
    File: `${name}, ${metadata.sample_rate} Hz`,
    Speaks: speakers.join(", "),
    Licence: metadata.licence,
    Consent: metadata.consent,
    "Speed here": `${factor.toFixed(2)} of real time on ${threads} thread${threads > 1 ? "s" : ""}: ` +
      (factor < 1 ? `a minute takes ${Math.ceil(60 * factor)} s` : `a minute takes ${(factor).toFixed(1)} minutes`),
  };
  find("voice-facts").replaceChildren(...Object.entries(rows).flatMap(([term, fact]) => [make("dt", term), make("dd", fact)]));
  find("voice-facts").hidden = false;
  find("voice-facts").dataset.factor = factor;
}

function make(tag, text, attributes = {}) {
  const item = document.createElement(tag);
  item.textContent = text;
  for (const [name, value] of Object.entries(attributes)) item.setAttribute(name, value);
  return item;
}

function showControls() {
  const { defaults, speakers, extra } = voice.metadata;
  const idle = new Set(extra?.idle_controls ?? []);
  values = { ...defaults, ...(extra?.automatic_pitch ? { pitch_shift: NaN } : {}) };
  const rows = Object.entries(SLIDERS).filter(([name]) => !idle.has(name)).map(([name, facts]) => slider(name, facts));
  find("controls").replaceChildren(...(speakers.length > 1 ? [speakerChoice(speakers)] : []), ...rows);
}

function row(name, label, hint, field) {
  const item = make("div", "", { class: "control" });
  const title = make("label", label, { for: name });
  title.append(make("small", hint));
  const shown = make("output", "", { for: name, id: `${name}-shown` });
  item.append(title, field, shown);
  return [item, shown];
}

function slider(name, { label, hint, min, max, step }) {
  const value = values[name] || 0;
  if (Number.isNaN(values[name])) hint += "; auto: chosen for each recording until you move this; live begins at 0";
  const field = make("input", "", { type: "range", id: name, min, max, step, value, "aria-label": label });
  const [item, shown] = row(name, label, hint, field);
  const show = () => {
    shown.textContent = Number.isNaN(values[name]) ? "auto" : FORMATS[name]?.(values[name]) ?? values[name].toFixed(2);
  };
  field.addEventListener("input", () => {
    values[name] = Number(field.value);
    show();
    ask("controls", { values });
  });
  show();
  return item;
}

function speakerChoice(speakers) {
  const field = make("select", "", { id: "speaker_id", "aria-label": "Speaker" });
  field.append(...speakers.map((speaker) => make("option", speaker.name, { value: speaker.id })));
  field.value = values.speaker_id;
  field.addEventListener("change", () => {
    values.speaker_id = Number(field.value);
    ask("controls", { values });
  });
  return row("speaker_id", "Speaker", "who of this file speaks", field)[0];
}

async function openSound(file) {
  const rate = voice.metadata.sample_rate;
  find("file-state").textContent = `Reading ${file.name} ...`;
  find("result").hidden = true;
  find("convert").disabled = true;
  try {
    sound = { file, samples: await decode(file, rate) };
    find("convert").disabled = false;
    find("file-state").textContent = `${file.name}: ${(sound.samples.length / rate).toFixed(1)} s`;
  } catch (error) {
    find("file-state").textContent = "";
    throw error;
  }
}

async function convert() {
  const { file, samples } = sound, rate = voice.metadata.sample_rate;
  find("convert").disabled = true;
  find("result").hidden = true; // of other settings
  find("progress").value = 0;
  find("file-state").textContent = `Converting, about ${Math.ceil((voice.factor * samples.length) / rate)} s ...`;
  for (const id of ["progress", "cancel"]) find(id).hidden = false;
  try {
    await ask("controls", { values });
    const tell = ({ done }) => { find("progress").value = done; };
    const { made, seconds } = await ask("convert", { audio: samples.slice() }, { tell });
    const factor = seconds / (samples.length / rate);
    find("file-state").textContent = `Done in ${seconds.toFixed(1)} s: ${factor.toFixed(2)} of real time.`;
    find("file-state").dataset.factor = factor;
    showResult(file, wav(samples, rate), wav(made, rate));
  } catch (error) {
    find("file-state").textContent = "";
    throw error;
  } finally {
    find("convert").disabled = false;
    for (const id of ["progress", "cancel"]) find(id).hidden = true;
  }
}

function showResult(file, original, converted) {
  for (const id of ["original", "converted"]) URL.revokeObjectURL(find(id).src);
  find("original").src = URL.createObjectURL(original);
  find("converted").src = URL.createObjectURL(converted);
  find("download").href = find("converted").src;
  find("download").download = `${file.name.replace(/\.[^.]*$/, "")}_${voice.metadata.name}.wav`;
  find("result").hidden = false;
}

async function startLive() {
  const rate = voice.metadata.sample_rate, state = find("live-state");
  find("live").disabled = true;
  try {
    state.textContent = "Waiting for the microphone ...";
    const constraints = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
    const stream = await microphone(constraints);
    live = { stream, context: new AudioContext({ sampleRate: rate, latencyHint: "interactive" }) };
    await live.context.audioWorklet.addModule("live_worklet.js");
    const source = live.context.createMediaStreamSource(stream);
    state.textContent = "Measuring how fast this machine is ...";
    await ask("controls", { values });
    const channel = new MessageChannel();
    const choice = await ask("live", { port: channel.port2 }, { transfer: [channel.port2] });
    if (!choice.inTime) {
      throw new Error(`This machine is too slow for live: ${1000 * choice.blockSeconds} ms of sound take ` +
        `${Math.round(choice.milliseconds)} ms. Convert a recording instead.`);
    }
    listen(source, channel.port1, choice);
    find("live").textContent = "Stop";
    find("level").hidden = false;
  } catch (error) {
    stopLive();
    state.textContent = "";
    throw error;
  } finally {
    find("live").disabled = false;
  }
}

async function microphone(audio) {
  if (!navigator.mediaDevices) throw new Error("This browser gives a microphone only to pages of https:// or localhost.");
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new Error(`The microphone cannot be used (${error.name}). Allow it for this page, or plug one in.`);
  }
}

function listen(source, port, choice) {
  const { context } = live, rate = context.sampleRate;
  const margin = Math.round(BEGUN_SHARE * choice.block);
  const node = new AudioWorkletNode(context, "live-voice", {
    numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [1], processorOptions: { block: choice.block, margin },
  });
  node.port.postMessage({ worker: port }, [port]);
  node.port.onmessage = ({ data }) => showLive(data, (choice.block + choice.delay + margin) / rate + choice.milliseconds / 1000, choice);
  source.connect(node).connect(context.destination);
  Object.assign(live, { node });
}

function showLive({ blocks, late, dropped, slowest, peak }, seconds, choice) {
  if (!live) return;
  find("level").value = Math.min(1, peak);
  const { baseLatency = 0, outputLatency = 0 } = live.context;
  const gaps = late + dropped ? `${late} gaps, ${dropped} dropped: close other programs` : "no gap";
  find("live-state").textContent =
    `Live: blocks of ${Math.round(1000 * choice.blockSeconds)} ms, about ${Math.round(1000 * (seconds + baseLatency + outputLatency))} ms ` +
    `behind; slowest block ${Math.round(slowest)} ms; ${blocks} blocks, ${gaps}.`;
  Object.assign(find("live-state").dataset, { blocks, late, dropped, slowest, block: choice.blockSeconds, behind: seconds });
}

function stopLive() {
  if (!live) return;
  for (const track of live.stream.getTracks()) track.stop();
  live.node?.port.postMessage({ end: true });
  live.context.close();
  live = null;
  ask("stop");
  find("live").textContent = "Start the microphone";
  find("level").hidden = true;
  find("live-state").textContent = "";
}

/** Take files by the field and by dropping them on its label. */
function takesFiles(name, use) {
  const field = find(`${name}-file`), area = find(`${name}-drop`);
  const take = (files) => files.length && attempt(() => use(files[0]));
  field.addEventListener("change", () => take([...field.files]));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    area.addEventListener(kind, (event) => {
      event.preventDefault();
      area.classList.toggle("over", kind === "dragover");
      if (kind === "drop") take([...event.dataTransfer.files]);
    });
  }
}

takesFiles("voice", openVoice);
takesFiles("sound", openSound);
find("convert").addEventListener("click", () => attempt(convert));
find("cancel").addEventListener("click", () => ask("cancel"));
find("live").addEventListener("click", () => attempt(async () => (live ? stopLive() : startLive())));
// a voice beside the page: index.html?voice=alice.onnx
const beside = new URLSearchParams(location.search).get("voice");
if (beside) {
  attempt(async () => {
    const answer = await fetch(new URL(beside, location.href));
    if (!answer.ok) throw new Error(`${beside} is not beside this page.`);
    await openVoice(new File([await answer.blob()], beside.split("/").pop()));
  });
}
