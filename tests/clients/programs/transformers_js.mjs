// Run pipelines of transformers.js on local directories. What is asked for and answered is JSON; arrays travel as lists.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const request = JSON.parse(readFileSync(process.argv[2], "utf-8"));
const modules = createRequire(join(request.modules, "package.json"));
const { env, pipeline, RawImage, Tensor } = await import(pathToFileURL(modules.resolve("@huggingface/transformers")));

env.allowRemoteModels = false;
env.localModelPath = request.directory;
env.fetch = globalThis.fetch = (url) => {
  throw new Error(`a request left the machine: ${url}`);
};

// What a pipeline is given: a text, a recording as samples, or an image as its bytes.
const given = ({ text, samples, image }) =>
  samples ? Float32Array.from(samples) : image ? new RawImage(Uint8ClampedArray.from(image.bytes), image.width, image.height, 3) : text;

const plain = (value) =>
  value instanceof Tensor ? value.tolist() : Array.isArray(value) ? value.map(plain) : value;
const numbers = (_, value) => (typeof value === "bigint" ? Number(value) : value);

const pipe = await pipeline(request.task, request.model, { device: "cpu", dtype: request.dtype });
const answer = { version: env.version, answers: [], tokens: [] };
for (const input of request.inputs) {
  answer.answers.push(plain(await pipe(given(input), request.options)));
  if (request.generate) {
    const inputs = input.samples ? await pipe.processor(given(input)) : pipe.tokenizer(given(input));
    answer.tokens.push(plain(await pipe.model.generate({ ...inputs, ...request.options })));
  }
}
if (request.together) answer.together = plain(await pipe(request.inputs.map(given), request.options));
console.log(JSON.stringify(answer, numbers));
