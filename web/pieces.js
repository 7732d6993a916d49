// Long recordings in pieces, cut where it is quiet, as utils/inference/pipeline.py does it; and live windows that join.

const SEARCH_SHARE = 1 / 3; // of a piece, at its end: the cut is the quietest place there
const CONTEXT_SECONDS = 2; // that each piece also sees before and after itself, at least
const GRID_SECONDS = 4; // a piece begins on this grid: there the noise inside the graph begins anew
const FADE_SECONDS = 0.01;

/** Return [[start, end], ...] of pieces of at most so many seconds that cover the samples. */
export function pieces(audio, rate, seconds) {
  const longest = Math.round(seconds * rate), search = Math.round(SEARCH_SHARE * seconds * rate);
  const block = Math.max(1, Math.floor(rate / 50));
  const found = [];
  let start = 0;
  while (audio.length - start > longest) {
    const from = start + longest - search;
    let quietest = 0, least = Infinity;
    for (let number = 0; number < Math.floor(search / block); number++) {
      let energy = 0;
      for (let place = from + number * block; place < from + (number + 1) * block; place++) energy += audio[place] ** 2;
      if (energy < least) [quietest, least] = [number, energy];
    }
    const end = from + quietest * block + Math.floor(block / 2);
    found.push([start, end]);
    start = end;
  }
  return [...found, [start, audio.length]];
}

/** Convert [T] samples piece by piece; `run` converts one, `progress` is told the share that is done. */
export async function convertInPieces(audio, rate, seconds, run, progress) {
  const context = Math.round(CONTEXT_SECONDS * rate), grid = Math.round(GRID_SECONDS * rate);
  const half = Math.floor(Math.round(FADE_SECONDS * rate) / 2);
  const whole = new Float32Array(audio.length);
  const list = pieces(audio, rate, seconds);
  for (const [start, end] of list) {
    const low = list.length > 1 ? Math.floor(Math.max(0, start - context) / grid) * grid : 0;
    const high = list.length > 1 ? Math.min(audio.length, end + context) : audio.length;
    const made = await run(audio.subarray(low, high));
    const first = start > 0 ? start - half : 0, last = end < audio.length ? end + half : audio.length;
    for (let place = first; place < last; place++) {
      const before = start > 0 ? Math.min(1, (place - first + 0.5) / (2 * half)) : 1;
      const after = end < audio.length ? Math.min(1, (last - place - 0.5) / (2 * half)) : 1;
      whole[place] += made[place - low] * Math.max(0, before) * Math.max(0, after);
    }
    progress(end / audio.length);
  }
  return whole;
}

/**
 * Joins windows that were converted apart: each brings a block and some samples more, and the block begins where it is
 * most like the end of the one before, so that the waves of a voice go on.
 */
export class Joiner {
  constructor(block, fade, search) {
    Object.assign(this, { block, fade, search, tail: null });
  }

  /** Return [block] of [search + block + fade] new samples. */
  next(samples) {
    const { block, fade, search, tail } = this;
    const offset = tail ? bestOffset(samples, tail, search) : 0;
    const made = samples.slice(offset, offset + block);
    for (let place = 0; tail && place < fade; place++) {
      const share = 0.5 - 0.5 * Math.cos((Math.PI * (place + 0.5)) / fade);
      made[place] = share * made[place] + (1 - share) * tail[place];
    }
    this.tail = samples.slice(offset + block, offset + block + fade);
    return made;
  }
}

/** Return by how many samples of [0, search] a signal is most like a template [fade]: normalised correlation. */
function bestOffset(samples, template, search) {
  let best = 0, highest = -Infinity;
  for (let offset = 0; offset <= search; offset++) {
    let product = 0, power = 1e-8;
    for (let place = 0; place < template.length; place++) {
      product += samples[offset + place] * template[place];
      power += samples[offset + place] ** 2;
    }
    const likeness = product / Math.sqrt(power);
    if (likeness > highest) [best, highest] = [offset, likeness];
  }
  return best;
}
