// Open a page of transformers.js in headless Chromium, and answer with what it shows and with every request it made.
// Everything is served from this machine: the page, the library and its WebAssembly from node_modules, and the models.
import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const request = JSON.parse(readFileSync(process.argv[2], "utf-8"));
const modules = createRequire(join(request.modules, "package.json"));
const { chromium } = modules("playwright-core");
const sharp = modules("sharp");

const { bytes, width, height } = request.image;
const picture = await sharp(Uint8Array.from(bytes), { raw: { width, height, channels: 3 } }).png().toBuffer();
const made = {
  "/": ["text/html", readFileSync(join(dirname(fileURLToPath(import.meta.url)), "page.html"))],
  "/request.json": ["application/json", JSON.stringify(request.page)],
  "/picture.png": ["image/png", picture],
};
const folders = { "/node_modules/": join(request.modules, "node_modules"), ...request.folders };
const types = { ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json" };

const server = createServer((asked, response) => {
  const path = normalize(decodeURIComponent(new URL(asked.url, "http://localhost").pathname));
  if (path in made) {
    response.writeHead(200, { "content-type": made[path][0] }).end(made[path][1]);
    return;
  }
  const prefix = Object.keys(folders).find((one) => path.startsWith(one));
  const file = prefix && join(folders[prefix], path.slice(prefix.length));
  if (!file || !existsSync(file)) {
    response.writeHead(404).end();
    return;
  }
  const type = types[extname(file)] ?? "application/octet-stream";
  response.writeHead(200, { "content-type": type, "content-length": statSync(file).size });
  createReadStream(file).pipe(response);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${server.address().port}`;

const browser = await chromium.launch({
  executablePath: request.chromium,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  ],
});
try {
  const page = await browser.newPage();
  const requests = [];
  const complaints = [];
  page.on("request", (made) => requests.push(made.url()));
  page.on("response", (given) => given.status() >= 400 && complaints.push(`${given.status()} ${given.url()}`));
  page.on("pageerror", (error) => complaints.push(`${error}`));
  await page.goto(origin);
  await page.waitForFunction(() => window.answer, null, { timeout: request.seconds * 1000 });
  const answer = await page.evaluate(() => window.answer);
  if (request.screenshot) await page.screenshot({ path: request.screenshot });
  console.log(JSON.stringify({ ...answer, origin, requests, complaints, chromium: browser.version() }));
} finally {
  await browser.close();
  server.close();
}
