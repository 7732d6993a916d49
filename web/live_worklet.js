// On the audio thread: cuts the microphone into blocks for the worker and plays what comes back, silence where it is late.

class LiveVoice extends AudioWorkletProcessor {
  constructor({ processorOptions: { block, margin } }) {
    super();
    Object.assign(this, { block, margin, taken: new Float32Array(block), filled: 0, queue: [], place: 0 });
    Object.assign(this, { waiting: margin, begun: false, blocks: 0, late: 0, dropped: 0, slowest: 0, peak: 0, ended: false });
    this.port.onmessage = ({ data }) => {
      if (data.worker) {
        this.worker = data.worker;
        this.worker.onmessage = ({ data: answer }) => this.take(answer);
      } else this.ended = true;
    };
  }

  take({ made, milliseconds, dropped }) {
    if (dropped) this.dropped += 1;
    else {
      this.queue.push(made);
      this.begun = true;
      this.blocks += 1;
      this.slowest = Math.max(this.slowest, milliseconds);
    }
    const { blocks, late, slowest, peak } = this;
    this.port.postMessage({ blocks, late, dropped: this.dropped, slowest, peak });
    this.peak = 0;
  }

  process([input], [output]) {
    const heard = input[0], played = output[0];
    if (heard && this.worker) {
      for (const sample of heard) {
        this.taken[this.filled++] = sample;
        this.peak = Math.max(this.peak, Math.abs(sample));
        if (this.filled === this.block) {
          this.worker.postMessage(this.taken, [this.taken.buffer]);
          this.taken = new Float32Array(this.block);
          this.filled = 0;
        }
      }
    }
    if (this.begun) this.play(played);
    for (const channel of output.slice(1)) channel.set(played);
    return !this.ended;
  }

  /** Fill [n] samples; after a gap, and at the beginning, wait for so long that small delays do no harm. */
  play(played) {
    for (let index = 0; index < played.length; index++) {
      if (this.waiting > 0) this.waiting -= 1;
      else if (this.queue.length) {
        played[index] = this.queue[0][this.place++];
        if (this.place === this.queue[0].length) {
          this.queue.shift();
          this.place = 0;
        }
      } else {
        this.late += 1;
        this.waiting = this.margin;
      }
    }
  }
}

registerProcessor("live-voice", LiveVoice);
