// Read the documentation site in headless Chromium as people do: on a phone, in the dark, without scripts, by its search
// and by the filters of its catalogue. Answers with what was measured, and with every request that was made.
import { createReadStream, existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";

const request = JSON.parse(readFileSync(process.argv[2], "utf-8"));
const { chromium } = createRequire(join(request.modules, "package.json"))("playwright-core");
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png" };
const PHONE = { width: 360, height: 740 };
const DESK = { width: 1280, height: 900 };

const server = createServer((asked, response) => {
  const path = normalize(decodeURIComponent(new URL(asked.url, "http://localhost").pathname));
  const place = join(request.site, path);
  const file = existsSync(place) && statSync(place).isDirectory() ? join(place, "index.html") : place;
  if (!existsSync(file)) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
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
const requests = new Set();
const complaints = new Set();

async function open(path, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("request", (made) => requests.add(made.url()));
  page.on("response", (given) => given.status() >= 400 && complaints.add(`${given.status()} ${given.url()}`));
  // What a page still asked for when it was left is aborted.
  page.on("requestfailed", (made) => made.failure()?.errorText === "net::ERR_ABORTED" || complaints.add(`failed ${made.url()}`));
  page.on("pageerror", (error) => complaints.add(`${path}: ${error}`));
  await page.goto(`${origin}/${path}`);
  return page;
}

async function shoot(page, name) {
  if (!request.shots) return;
  mkdirSync(request.shots, { recursive: true });
  await page.screenshot({ path: join(request.shots, `${name}.png`) });
}

/** What sticks out of a page to the right, of elements that do not scroll within something themselves. */
function sticksOut() {
  const width = document.documentElement.clientWidth;
  const scrolls = (element) => {
    for (let each = element; each && each !== document.body; each = each.parentElement) {
      if (["auto", "scroll", "hidden"].includes(getComputedStyle(each).overflowX)) return true;
    }
    return false;
  };
  const out = [...document.querySelectorAll("article *")].filter((element) => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.right > width + 1 && !scrolls(element.parentElement);
  });
  return {
    page: document.documentElement.scrollWidth - width,
    elements: out.slice(0, 5).map((element) => `${element.tagName} ${element.textContent.trim().slice(0, 60)}`),
    tables: [...document.querySelectorAll("article table")].filter((table) => table.scrollWidth > width).length,
  };
}

/** The contrast of every text that is seen, by WCAG 2: the worst ones, and how many there are. */
function contrasts() {
  const rgba = (text) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const brush = canvas.getContext("2d", { willReadFrequently: true });
    brush.fillStyle = text;
    brush.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = brush.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const known = new Map();
  const colour = (text) => {
    if (!known.has(text)) known.set(text, rgba(text));
    return known.get(text);
  };
  const over = (top, below) => top.slice(0, 3).map((value, index) => value * top[3] + below[index] * (1 - top[3]));
  const background = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      layers.push(colour(getComputedStyle(each).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const luminance = (values) => {
    const [red, green, blue] = values.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const measured = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || ["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE"].includes(element.tagName)) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const below = background(element);
    const ink = over(colour(style.color), below);
    const [bright, dim] = [luminance(ink), luminance(below)].sort((one, other) => other - one);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const key = `${element.tagName}.${element.className} ${style.color} on ${below.map(Math.round)}`;
    const ratio = (bright + 0.05) / (dim + 0.05);
    if (!measured.has(key)) measured.set(key, { ratio, large, key, text: text.slice(0, 40) });
  }
  const texts = [...measured.values()];
  return { texts: texts.length, poor: texts.filter((each) => each.ratio < (each.large ? 3 : 4.5)), least: Math.min(...texts.map((each) => each.ratio)) };
}

const answer = { phone: {}, contrast: {}, background: {} };
try {
  const phones = await open("", { viewport: PHONE, isMobile: true, hasTouch: true });
  for (const path of request.pages) {
    await phones.goto(`${origin}/${path}`);
    answer.phone[path] = await phones.evaluate(sticksOut);
    await shoot(phones, `phone-${path.replaceAll("/", "-")}`);
  }
  await phones.context().close();
  for (const colorScheme of ["dark", "light"]) {
    const desk = await open("", { viewport: DESK, colorScheme });
    for (const path of request.pages) {
      await desk.goto(`${origin}/${path}`);
      answer.contrast[`${colorScheme} ${path}`] = await desk.evaluate(contrasts);
      await shoot(desk, `${colorScheme}-${path.replaceAll("/", "-")}`);
    }
    answer.background[colorScheme] = await desk.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await desk.context().close();
  }

  // On a phone the navigation is a drawer, and tables move within themselves.
  const phone = await open("", { viewport: PHONE, isMobile: true, hasTouch: true });
  await phone.locator("label.md-header__button[for=__drawer]").tap();
  await phone.locator(".md-nav--primary > .md-nav__list").first().waitFor();
  await phone.waitForTimeout(400);
  await shoot(phone, "phone-drawer");
  for (const word of request.drawer) {
    await phone.locator(".md-nav--primary").getByText(word, { exact: true }).locator("visible=true").last().tap();
    await phone.waitForTimeout(400);
  }
  await phone.waitForLoadState();
  answer.drawer = { address: phone.url().slice(origin.length), heading: await phone.locator("h1").first().innerText() };
  await phone.goto(`${origin}/${request.catalogue}`);
  answer.scrolled = await phone.locator(".catalogue table").first().evaluate((table) => {
    let each = table;
    while (each && each.scrollWidth <= each.clientWidth) each = each.parentElement;
    each.scrollLeft = 200;
    return { by: each.scrollLeft, page: window.scrollX, element: each.className || each.tagName };
  });
  await phone.context().close();

  // Search: what is typed is found, and the first result is a page with the word.
  const reader = await open("", { viewport: DESK });
  await reader.locator(".md-search__button").click();
  await reader.keyboard.type(request.word, { delay: 20 });
  const results = reader.getByRole("option");
  await results.first().waitFor();
  await shoot(reader, "search");
  answer.found = await results.allInnerTexts();
  await results.first().click();
  await reader.waitForLoadState();
  answer.first = { address: new URL(reader.url()).pathname, words: (await reader.locator("article").innerText()).toLowerCase().includes(request.word) };
  await reader.context().close();

  // The filters of the catalogue.
  const rows = (page) => page.locator(".catalogue tbody tr").evaluateAll((all) => all.filter((row) => row.checkVisibility()).map((row) => [...row.cells].map((cell) => cell.innerText)));
  const list = await open(request.catalogue, { viewport: DESK });
  answer.filters = { all: await rows(list) };
  for (const { name, ...values } of request.filters) {
    await list.getByRole("button", { name: "Show all" }).click();
    for (const [field, value] of Object.entries(values)) {
      const control = list.locator(`.catalogue-filter [name=${field}]`);
      if (field === "text") await control.fill(value);
      else await control.selectOption(value);
    }
    await list.waitForTimeout(50);
    answer.filters[name] = await rows(list);
    answer[`${name} says`] = { count: await list.locator(".catalogue-filter output").innerText(), address: list.url().slice(origin.length) };
  }
  await shoot(list, "filtered");
  const again = await open(list.url().slice(origin.length + 1), { viewport: DESK });
  answer.filters.again = await rows(again);
  await again.context().close();
  await list.context().close();

  const plain = await open(request.catalogue, { viewport: PHONE, javaScriptEnabled: false });
  answer.plain = { rows: (await rows(plain)).length, forms: await plain.locator(".catalogue-filter").count() };
  await plain.context().close();
  console.log(JSON.stringify({ ...answer, origin, requests: [...requests], complaints: [...complaints], chromium: browser.version() }));
} finally {
  await browser.close();
  server.close();
}
