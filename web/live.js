// Live conversion with the usual graph, which keeps no state: each block is converted with the sound before it and a
// little after it, and joined to the block before. The stream graph is too slow in WebAssembly: docs/tutorials/browser.md.

import { Joiner } from "./pieces.js";

export const HISTORY_SECONDS = 0.4; // sound before a block that its window also holds
export const AHEAD_SECONDS = 0.06; // and after it
const FADE_SECONDS = 0.012, SEARCH_SECONDS = 0.01;
const BLOCKS_SECONDS = [0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8];
const LARGEST_SHARE = 0.65; // of a block's time that its conversion may take
const TRIALS = 3;

/** Converts blocks one after the other; `run` converts a window. */
export class LiveConverter {
  constructor(run, rate, blockSeconds, history = HISTORY_SECONDS, ahead = AHEAD_SECONDS) {
    const count = (seconds) => Math.round(seconds * rate);
    this.run = run;
    this.block = count(blockSeconds);
    this.history = count(history);
    const fade = count(FADE_SECONDS), search = count(SEARCH_SECONDS);
    this.wanted = search + this.block + fade;
    this.window = new Float32Array(this.history + this.wanted + count(ahead));
    this.joiner = new Joiner(this.block, fade, search);
  }

  /** Samples by which the output is behind the input, the block itself not counted. */
  get delay() {
    return this.window.length - this.history - this.block;
  }

  /** Return the next [block] for the next [block]. */
  async next(samples) {
    this.window.copyWithin(0, this.block);
    this.window.set(samples, this.window.length - this.block);
    const made = await this.run(this.window);
    return this.joiner.next(made.subarray(this.history, this.history + this.wanted));
  }
}

/** Return { blockSeconds, milliseconds } of the shortest block that this machine converts in time, or the longest. */
export async function chooseBlock(run, rate) {
  let found;
  for (const blockSeconds of BLOCKS_SECONDS) {
    const trial = new LiveConverter(run, rate, blockSeconds);
    const noise = Float32Array.from({ length: trial.block }, () => 0.1 * (Math.random() - 0.5));
    const times = [];
    for (let number = 0; number < TRIALS; number++) {
      const started = performance.now();
      await trial.next(noise);
      times.push(performance.now() - started);
    }
    const milliseconds = times.sort((one, other) => one - other)[Math.floor(TRIALS / 2)];
    found = { blockSeconds, milliseconds, inTime: milliseconds < LARGEST_SHARE * 1000 * blockSeconds };
    if (found.inTime) break;
  }
  return found;
}
