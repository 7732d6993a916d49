"use strict";
// A blind test: A and B are dealt anew in each trial, X is one of them. Answers stay in this browser and can be saved.
function makeBlindTest(box) {
  const find = (name) => box.querySelector(`[${name}]`);
  const [form, choice, trials, trial, progress, result, download, forget] = ["data-form", "data-choice", "data-trials",
    "data-trial", "data-progress", "data-result", "data-download", "data-forget"].map(find);
  const place = `voclo blind test: ${box.dataset.page}`;
  const listens = [...box.querySelectorAll("[data-listen]")];
  let answers = load();
  let round = null; // {option, count, left}
  let deal = null; // {a, b, x}: which of "first" and "second" each is
  let playing = null;

  function load() {
    try { return JSON.parse(localStorage.getItem(place)) ?? []; } catch { return []; }
  }
  function store() {
    try { localStorage.setItem(place, JSON.stringify(answers)); } catch { /* a private window keeps nothing */ }
  }
  function silence() {
    if (playing) playing.stop();
    playing = null;
    listens.forEach((button) => button.setAttribute("aria-pressed", "false"));
  }

  const level = (buffer) => {
    const samples = buffer.getChannelData(0);
    return Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / Math.max(1, samples.length)) || 1;
  };

  async function hear(letter) {
    sounds.stopOthers(stopHere);
    silence();
    const { first, second } = round.option.dataset;
    const audio = sounds.audio();
    await audio.resume();
    const buffers = { first: await sounds.decode(first), second: await sounds.decode(second) };
    silence();
    const wanted = Math.min(level(buffers.first), level(buffers.second));
    const buffer = buffers[deal[letter]];
    const node = audio.createBufferSource();
    const gain = audio.createGain();
    node.buffer = buffer;
    gain.gain.value = wanted / level(buffer);
    node.connect(gain).connect(audio.destination);
    node.onended = () => { if (playing === node) silence(); };
    node.start();
    playing = node;
    listens.find((button) => button.dataset.listen === letter).setAttribute("aria-pressed", "true");
  }
  const stopHere = () => silence();

  function next() {
    silence();
    const isSwapped = Math.random() < 0.5;
    deal = { a: isSwapped ? "second" : "first", b: isSwapped ? "first" : "second" };
    deal.x = Math.random() < 0.5 ? deal.a : deal.b;
    box.querySelector("input[name=better][value='']").checked = true;
    progress.textContent = `Trial ${round.count - round.left + 1} of ${round.count}: is X the same as A, or as B?`;
  }

  function answer(letter) {
    const { firstLabel, secondLabel } = round.option.dataset;
    const names = { first: firstLabel, second: secondLabel };
    const better = box.querySelector("input[name=better]:checked").value;
    answers.push({
      comparison: round.option.textContent, a: names[deal.a], b: names[deal.b], x: deal.x === deal.a ? "a" : "b",
      answer: letter, correct: deal[letter] === deal.x, better: better ? names[deal[better]] : null, time: new Date().toISOString(),
    });
    store();
    round.left -= 1;
    if (round.left > 0) next();
    else { silence(); trial.hidden = true; round = null; form.querySelector("button").focus(); }
    summarize();
  }

  // chance of at least so many right answers by guessing
  function chance(right, count) {
    let sum = 0;
    for (let hits = right; hits <= count; hits += 1) {
      let ways = 1;
      for (let index = 0; index < hits; index += 1) ways = (ways * (count - index)) / (index + 1);
      sum += ways / 2 ** count;
    }
    return Math.min(1, sum);
  }

  function summarize() {
    const groups = new Map();
    answers.forEach((item) => groups.set(item.comparison, [...(groups.get(item.comparison) ?? []), item]));
    result.replaceChildren(...[...groups].map(([title, items]) => {
      const right = items.filter((item) => item.correct).length;
      const likely = chance(right, items.length);
      const preferred = items.reduce((all, item) => item.better ? { ...all, [item.better]: (all[item.better] ?? 0) + 1 } : all, {});
      const words = Object.entries(preferred).map(([name, count]) => `${name} preferred ${count} times`);
      const line = document.createElement("p");
      const verdict = likely < 0.05 ? "a difference is heard" : "no proof that a difference is heard";
      line.textContent = [`${title}: ${right} of ${items.length} right, ${verdict} (by guessing: ${(100 * likely).toFixed(0)} %)`, ...words].join("; ");
      return line;
    }));
    download.disabled = forget.disabled = answers.length === 0;
  }

  sounds.stops.add(stopHere);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    round = { option: choice.selectedOptions[0], count: Number(trials.value), left: Number(trials.value) };
    trial.hidden = false;
    next();
    listens[0].focus();
  });
  listens.forEach((button) => button.addEventListener("click", () => hear(button.dataset.listen)));
  box.querySelectorAll("[data-answer]").forEach((button) => button.addEventListener("click", () => answer(button.dataset.answer)));
  download.addEventListener("click", () => {
    const link = document.createElement("a");
    const content = JSON.stringify({ page: box.dataset.page, answers }, null, 2);
    link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
    link.download = "blind_test.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  forget.addEventListener("click", () => { answers = []; store(); summarize(); });
  summarize();
}

document.querySelectorAll("[data-blind]").forEach(makeBlindTest);
