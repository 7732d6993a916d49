// The worker: it alone runs the graph, so that the page never stops. It answers messages; see `answers`.

import * as ort from "./vendor/ort.wasm.min.mjs";
import { chooseBlock, LiveConverter } from "./live.js";
import { convertInPieces } from "./pieces.js";
import { readVoice, WHOLE } from "./voice_file.js";

const PIECE_SECONDS = 20;
const SPEED_SECONDS = 2;
const MOST_WAITING = 3; // blocks of the microphone that wait; more: the machine is too slow

ort.env.wasm.wasmPaths = new URL("./vendor/", import.meta.url).href;
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency ?? 1) : 1;

let session = null, rate = 0, controls = {}, cancelled = false, live = null;
let turn = Promise.resolve(); // one run after the other

/** Convert samples [T] in one piece. */
function run(audio, values = controls) {
  const started = turn.then(async () => {
    const feed = { audio: new ort.Tensor("float32", audio, [1, audio.length]) };
    for (const [name, value] of Object.entries(values)) {
      if (!session.inputNames.includes(name)) continue; // of voices that lack it
      feed[name] =
        WHOLE.includes(name)
          ? new ort.Tensor("int64", BigInt64Array.of(BigInt(value)), [])
          : new ort.Tensor("float32", Float32Array.of(value), []);
    }
    const { output } = await session.run(feed);
    const samples = output.data.slice();
    output.dispose();
    return samples;
  });
  turn = started.catch(() => {});
  return started;
}

const answers = {
  /** Open a voice; give its metadata and how fast it is here. */
  async load({ bytes }) {
    answers.stop();
    await session?.release();
    session = null;
    const voice = readVoice(new Uint8Array(bytes));
    session = await ort.InferenceSession.create(voice.model, { executionProviders: ["wasm"] });
    rate = voice.metadata.sample_rate;
    controls = { ...voice.metadata.defaults };
    const noise = Float32Array.from({ length: SPEED_SECONDS * rate }, () => 0.1 * (Math.random() - 0.5));
    await run(noise.subarray(0, rate / 2));
    const started = performance.now();
    await run(noise);
    const factor = (performance.now() - started) / 1000 / SPEED_SECONDS;
    return { metadata: voice.metadata, factor, threads: ort.env.wasm.numThreads };
  },

  /** Set the controls of what follows, also of a live conversion that goes on. */
  async controls({ values }) {
    controls = values;
  },

  /** Convert a recording. */
  async convert({ audio }, tell) {
    cancelled = false;
    const started = performance.now();
    const values = controls;
    const piece = (samples) => {
      if (cancelled) throw new Error("cancelled");
      return run(samples, values);
    };
    const made = await convertInPieces(audio, rate, PIECE_SECONDS, piece, (done) => tell({ done }));
    return { made, seconds: (performance.now() - started) / 1000 };
  },

  cancel() {
    cancelled = true;
  },

  /** Begin to convert what comes through `port`, and send back what is to be played. */
  async live({ port }) {
    answers.stop();
    const choice = await chooseBlock(run, rate);
    if (!choice.inTime) return choice;
    // an automatic pitch is the median of a recording, which half a second does not have
    const unmoved = (audio) => run(audio, { ...controls, pitch_shift: controls.pitch_shift || 0 });
    const converter = new LiveConverter(unmoved, rate, choice.blockSeconds);
    live = { port, waiting: 0 };
    const mine = live;
    port.onmessage = async ({ data }) => {
      if (live !== mine) return;
      mine.waiting += 1;
      if (mine.waiting > MOST_WAITING) {
        mine.waiting -= 1;
        port.postMessage({ dropped: true });
        return;
      }
      const started = performance.now();
      const made = await converter.next(data);
      mine.waiting -= 1;
      port.postMessage({ made, milliseconds: performance.now() - started }, [made.buffer]);
    };
    return { ...choice, block: converter.block, delay: converter.delay };
  },

  stop() {
    live?.port.close();
    live = null;
  },
};

self.onmessage = async ({ data: { id, kind, ...rest } }) => {
  const tell = (progress) => self.postMessage({ id, progress });
  try {
    const answer = (await answers[kind](rest, tell)) ?? {};
    self.postMessage({ id, answer }, answer.made ? [answer.made.buffer] : []);
  } catch (error) {
    self.postMessage({ id, error: error?.message ?? String(error) });
  }
};
