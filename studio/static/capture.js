// Hands the microphone's samples to the page in blocks of 2048.
class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(2048);
    this.filled = 0;
  }

  process(inputs) {
    const samples = inputs[0][0];
    for (let index = 0; samples && index < samples.length; index++) {
      this.block[this.filled++] = samples[index];
      if (this.filled === this.block.length) {
        this.port.postMessage(this.block);
        this.filled = 0;
      }
    }
    return true;
  }
}
registerProcessor("capture", Capture);
