// Sound files in and out, in the page: decoded by the browser, written as WAV.

/** Return [T] mono samples of a sound file at a rate; the browser decodes and resamples it. */
export async function decode(file, rate) {
  const context = new OfflineAudioContext(1, 1, rate);
  let sound;
  try {
    sound = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name} is no sound that this browser can read. Try a WAV, FLAC or MP3 file.`);
  }
  const mono = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    const samples = sound.getChannelData(channel);
    for (let place = 0; place < mono.length; place++) mono[place] += samples[place] / sound.numberOfChannels;
  }
  if (!mono.length) throw new Error(`${file.name} holds no sound.`);
  return mono;
}

/** Return a WAV file (16 bit, mono) of samples [T]; what is beyond full scale is cut. */
export function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (place, word) => [...word].forEach((sign, index) => view.setUint8(place + index, sign.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, index) => {
    view.setInt16(44 + 2 * index, Math.round(Math.max(-1, Math.min(1, sample)) * 32767), true);
  });
  return new Blob([view.buffer], { type: "audio/wav" });
}
