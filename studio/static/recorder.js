// The microphone: level, clipping and pitch while it is open; a take becomes a 16-bit WAV that is sent to the studio.
// Echo cancellation, noise suppression and automatic gain are off: they change the voice that is to be learnt.
window.studioRecorder = (() => {
  const QUIET_DB = -100;
  let context, stream, node, chunks = [], keeping = false, meter = null, numbers = null;

  const decibel = (value) => (value > 0 ? Math.max(QUIET_DB, 20 * Math.log10(value)) : QUIET_DB);

  // Pitch by autocorrelation between 60 and 500 Hz; 0 where the sound has none.
  const pitchOf = (block, rate) => {
    const low = Math.floor(rate / 500), high = Math.min(Math.floor(rate / 60), block.length >> 1);
    let energy = 0;
    for (const value of block) energy += value * value;
    if (energy / block.length < 1e-5) return 0;
    let best = 0, place = 0;
    for (let lag = low; lag < high; lag++) {
      let sum = 0;
      for (let index = 0; index < block.length - lag; index += 2) sum += block[index] * block[index + lag];
      const share = (2 * sum) / energy;
      if (share > best) [best, place] = [share, lag];
    }
    return best > 0.6 ? rate / place : 0;
  };

  const newNumbers = () => ({ peak: 0, clipped: 0, squares: 0, count: 0, pitches: [] });

  const hear = (block) => {
    let peak = 0, squares = 0, clipped = 0;
    for (const value of block) {
      const size = Math.abs(value);
      peak = Math.max(peak, size);
      squares += value * value;
      clipped += size >= 0.999 ? 1 : 0;
    }
    if (keeping) {
      chunks.push(block.slice());
      numbers.peak = Math.max(numbers.peak, peak);
      numbers.clipped += clipped;
      numbers.squares += squares;
      numbers.count += block.length;
      const pitch = pitchOf(block, context.sampleRate);
      if (pitch) numbers.pitches.push(pitch);
    }
    show(decibel(Math.sqrt(squares / block.length)), decibel(peak), clipped);
  };

  const show = (level, peak, clipped) => {
    if (!meter) return;
    const share = Math.max(0, Math.min(1, (level + 60) / 60));
    meter.style.setProperty("--level", `${(100 * share).toFixed(0)}%`);
    meter.setAttribute("aria-valuenow", level.toFixed(0));
    meter.dataset.state = clipped || peak > -1 ? "hot" : level < -45 ? "low" : "good";
    const word = { hot: meter.dataset.hot, low: meter.dataset.low }[meter.dataset.state];
    meter.textContent = `${level.toFixed(0)} dB${word ? ` (${word})` : ""}`;
    meter.setAttribute("aria-valuetext", meter.textContent);
  };

  const open = async (identifier) => {
    meter = document.getElementById(identifier);
    if (context) return;
    const wanted = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
    stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    context = new AudioContext();
    await context.resume();
    const source = context.createMediaStreamSource(stream);
    await context.audioWorklet.addModule("/static/capture.js");
    node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    node.port.onmessage = (event) => hear(event.data);
    source.connect(node);
  };

  const close = async () => {
    stream?.getTracks().forEach((track) => track.stop());
    await context?.close();
    context = stream = node = undefined;
  };

  const start = async (identifier) => {
    await open(identifier);
    [chunks, numbers, keeping] = [[], newNumbers(), true];
  };

  const stop = () => {
    keeping = false;
    const sorted = numbers.pitches.sort((one, two) => one - two);
    const at = (share) => (sorted.length ? sorted[Math.floor(share * (sorted.length - 1))] : 0);
    return {
      seconds: numbers.count / context.sampleRate,
      level_db: decibel(Math.sqrt(numbers.squares / Math.max(1, numbers.count))),
      peak_db: decibel(numbers.peak),
      clipped: numbers.clipped,
      pitch_low_hz: at(0.05), pitch_median_hz: at(0.5), pitch_high_hz: at(0.95),
    };
  };

  const wave = () => {
    const count = chunks.reduce((sum, block) => sum + block.length, 0);
    const view = new DataView(new ArrayBuffer(44 + 2 * count));
    const text = (place, words) => [...words].forEach((letter, index) => view.setUint8(place + index, letter.charCodeAt(0)));
    const rate = context.sampleRate;
    text(0, "RIFF"); view.setUint32(4, 36 + 2 * count, true); text(8, "WAVEfmt ");
    view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
    view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true);
    view.setUint16(34, 16, true); text(36, "data"); view.setUint32(40, 2 * count, true);
    let place = 44;
    for (const block of chunks) for (const value of block) {
      view.setInt16(place, Math.round(Math.max(-1, Math.min(1, value)) * 32767), true);
      place += 2;
    }
    return new Blob([view.buffer], { type: "audio/wav" });
  };

  // Send the take; returns what the studio says of it.
  const send = async (address) => {
    const headers = { "content-type": "audio/wav", "accept-language": document.documentElement.lang };
    const answer = await fetch(address, { method: "POST", body: wave(), headers });
    if (answer.ok) return await answer.json();
    const text = await answer.text();
    try { return { error: JSON.parse(text).detail }; } catch { return { error: text.slice(0, 300) }; }
  };

  return { open, close, start, stop, send };
})();
