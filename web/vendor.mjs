// Copies what the page needs of onnxruntime-web out of node_modules, which is removed then: see `make web`.
import { cpSync, mkdirSync, rmSync } from "node:fs";

const FILES = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
const here = new URL(".", import.meta.url);
mkdirSync(new URL("vendor/", here), { recursive: true });
for (const name of FILES) {
  cpSync(new URL(`node_modules/onnxruntime-web/dist/${name}`, here), new URL(`vendor/${name}`, here));
}
rmSync(new URL("node_modules", here), { recursive: true });
