"use strict";
// Players: all sounds of a group play at once, one of them is heard; choosing another keeps the place.
const sounds = (() => {
  const stored = JSON.parse(document.getElementById("sounds").textContent);
  const decoded = new Map();
  let context = null;
  const audio = () => (context ??= new (window.AudioContext || window.webkitAudioContext)());
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  const decode = (name) => {
    if (!decoded.has(name)) decoded.set(name, audio().decodeAudioData(bytes(stored[name])));
    return decoded.get(name);
  };
  const stops = new Set();
  const stopOthers = (own) => stops.forEach((stop) => stop !== own && stop());
  return { audio, decode, stops, stopOthers };
})();

function makePlayer(box) {
  const find = (name) => box.querySelector(`[${name}]`);
  const buttons = [...box.querySelectorAll("[data-sound]")];
  const [play, seek, time, head] = ["data-play", "data-seek", "data-time", "data-head"].map(find);
  const [noPicture, error, pictures] = ["data-nopicture", "data-error", "data-pictures"].map(find);
  const total = Number(box.dataset.seconds);
  let chosen = buttons[0].dataset.sound;
  let voices = null; // while playing: name -> {node, gain}
  let began = 0;
  let place = 0;

  const now = () => (voices ? Math.min(total, sounds.audio().currentTime - began) : place);

  function show() {
    const at = now();
    if (document.activeElement !== seek || voices) seek.value = String(at);
    seek.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${total.toFixed(1)} seconds`);
    time.value = `${at.toFixed(1)} / ${total.toFixed(1)} s`;
    if (head) head.style.left = `${total ? (100 * at) / total : 0}%`;
    if (voices && at >= total) return stop(0);
    if (voices) requestAnimationFrame(show);
  }

  function label(isPlaying) {
    box.dataset.playing = String(isPlaying);
    find("data-icon").textContent = isPlaying ? "■" : "▶";
    find("data-word").textContent = isPlaying ? "Stop" : "Play";
  }

  function stop(at = now()) {
    if (voices) voices.forEach(({ node }) => node.stop());
    voices = null;
    place = at;
    label(false);
    show();
  }
  const stopHere = () => voices && stop();

  async function start(from = place) {
    sounds.stopOthers(stopHere);
    error.hidden = true;
    try {
      const audio = sounds.audio();
      await audio.resume();
      const names = buttons.map((button) => button.dataset.sound);
      const ready = await Promise.all(names.map(sounds.decode));
      if (voices) voices.forEach(({ node }) => node.stop());
      const at = audio.currentTime + 0.03;
      began = at - (from >= total - 0.05 ? 0 : from);
      voices = new Map();
      ready.forEach((buffer, index) => {
        const node = audio.createBufferSource();
        const gain = audio.createGain();
        node.buffer = buffer;
        gain.gain.value = names[index] === chosen ? 1 : 0;
        node.connect(gain).connect(audio.destination);
        const offset = at - began;
        if (offset < buffer.duration) node.start(at, offset);
        else node.start(at, buffer.duration);
        voices.set(names[index], { node, gain });
      });
      label(true);
      show();
    } catch (problem) {
      error.textContent = `This browser cannot play the sound (${problem.message}).`;
      error.hidden = false;
    }
  }

  function choose(name) {
    chosen = name;
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.sound === name)));
    if (voices) {
      const moment = sounds.audio().currentTime;
      voices.forEach(({ gain }, key) => gain.gain.setTargetAtTime(key === name ? 1 : 0, moment, 0.005));
    }
    if (!pictures) return;
    const drawn = [...pictures.querySelectorAll("[data-picture]")];
    const hasOwn = drawn.some((item) => item.dataset.picture === name);
    if (hasOwn) drawn.forEach((item) => { item.hidden = item.dataset.picture !== name; });
    noPicture.hidden = hasOwn;
    pictures.querySelectorAll("[data-pitch]").forEach((line) => line.classList.toggle("heard", line.dataset.pitch === name));
  }

  function move(to) {
    const wasPlaying = voices !== null;
    place = Math.max(0, Math.min(total, to));
    if (wasPlaying) start(place);
    else show();
  }

  sounds.stops.add(stopHere);
  play.addEventListener("click", () => (voices ? stop() : start()));
  buttons.forEach((button) => button.addEventListener("click", () => choose(button.dataset.sound)));
  seek.addEventListener("input", () => move(Number(seek.value)));
  pictures?.addEventListener("click", (event) => {
    const frame = pictures.getBoundingClientRect();
    move((total * (event.clientX - frame.left)) / frame.width);
  });
  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const button = /^[1-9]$/.test(event.key) ? buttons[Number(event.key) - 1] : null;
    if (button) choose(button.dataset.sound);
    else if (event.key === " " && event.target === seek) voices ? stop() : start();
    else if (["ArrowLeft", "ArrowRight"].includes(event.key)) move(now() + (event.key === "ArrowLeft" ? -0.5 : 0.5));
    else return;
    event.preventDefault();
  });
  choose(chosen);
}

document.querySelectorAll("[data-player]").forEach(makePlayer);
