// Reads an exported voice: what its metadata say, and the bytes that onnxruntime-web can run with controls.
//
// onnxruntime-web shows no metadata and takes an input with a default for a constant. So the few fields of the ONNX file
// (a protocol buffer) that matter are read here, and the defaults of the controls are left out of the copy that is run:
// each control then is an input, and every run gives all of them.

export const WHOLE = ["speaker_id", "source_id", "automatic_f0"]; // controls of whole numbers
const CONTROLS = [...WHOLE, "pitch_shift", "index_rate", "protect", "loudness_mix"];
const METADATA_KEY = "voclo_trainer";
const GRAPH = 7, METADATA = 14; // fields of ModelProto
const INITIALIZER = 5; // of GraphProto
const TENSOR_NAME = 8; // of TensorProto
const KEY = 1, VALUE = 2; // of StringStringEntryProto
const VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5; // kinds of fields

/** What a person can repair: one line. */
export class VoiceFileError extends Error {}

/**
 * Return { metadata, model } of the bytes of a file: the JSON that the exporter wrote, and what is to be run.
 * Throws VoiceFileError for a file that is no voice of this workbench, or one for streams.
 */
export function readVoice(bytes) {
  const fields = [...fieldsOf(bytes)];
  const graph = fields.find((field) => field.number === GRAPH && field.kind === BYTES);
  if (!graph) throw new VoiceFileError("This is no ONNX file. Give a file that export_onnx.py wrote.");
  const metadata = storedMetadata(fields);
  if (metadata.extra?.stream) {
    throw new VoiceFileError("This file converts streams. Give the one without _stream in its name; live works with it.");
  }
  return { metadata, model: withoutDefaults(bytes, graph) };
}

/** Yield { number, kind, start, end, first, data } of each field of a message; `start` to `end` holds its tag, too. */
function* fieldsOf(bytes) {
  let place = 0;
  const varint = () => {
    let value = 0, scale = 1;
    for (;;) {
      if (place >= bytes.length || scale > 2 ** 63) throw new VoiceFileError("This file is damaged or no ONNX file.");
      const byte = bytes[place++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  };
  while (place < bytes.length) {
    const start = place;
    const tag = varint();
    const kind = tag % 8;
    let first = place;
    if (kind === VARINT) varint();
    else if (kind === FIXED64) place += 8;
    else if (kind === FIXED32) place += 4;
    else if (kind === BYTES) {
      const length = varint();
      first = place;
      place += length;
    } else throw new VoiceFileError("This file is damaged or no ONNX file.");
    if (place > bytes.length) throw new VoiceFileError("This file is damaged: its end is missing.");
    yield { number: Math.floor(tag / 8), kind, start, end: place, first, data: bytes.subarray(first, place) };
  }
}

function storedMetadata(fields) {
  for (const field of fields) {
    if (field.number !== METADATA || field.kind !== BYTES) continue;
    const entry = [...fieldsOf(field.data)];
    if (text(entry, KEY) === METADATA_KEY) {
      try {
        return JSON.parse(text(entry, VALUE));
      } catch {
        throw new VoiceFileError("The metadata of this file are damaged. Export the voice again.");
      }
    }
  }
  throw new VoiceFileError("This ONNX file is no voice of this workbench: it says nothing of its rate and controls.");
}

function text(fields, number) {
  const field = fields.find((item) => item.number === number && item.kind === BYTES);
  return field ? new TextDecoder().decode(field.data) : "";
}

/** Return the file without the initializers of the controls. */
function withoutDefaults(bytes, graph) {
  const kept = [];
  let from = 0;
  for (const field of fieldsOf(graph.data)) {
    if (field.number !== INITIALIZER || !CONTROLS.includes(text(fieldsWithin(field), TENSOR_NAME))) continue;
    kept.push(graph.data.subarray(from, field.start));
    from = field.end;
  }
  kept.push(graph.data.subarray(from));
  const size = kept.reduce((sum, part) => sum + part.length, 0);
  const tag = Uint8Array.of(GRAPH * 8 + BYTES, ...varintBytes(size));
  return joined([bytes.subarray(0, graph.start), tag, ...kept, bytes.subarray(graph.end)]);
}

function fieldsWithin(field) {
  return [...fieldsOf(field.data)];
}

function varintBytes(value) {
  const made = [];
  for (; value >= 128; value = Math.floor(value / 128)) made.push((value % 128) + 128);
  return [...made, value];
}

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    whole.set(part, place);
    place += part.length;
  }
  return whole;
}
