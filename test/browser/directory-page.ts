/** Tests of the gateway's page in Chromium: `npm run test:browser`. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { ServedGateway } from "../client/gateway/served-gateway.ts";
import { TempDirectory } from "../support/temp-directory.ts";
import { BrowserPage, findChromium } from "./chromium.ts";

const CHROMIUM = findChromium();
if (CHROMIUM === null) console.error("SKIPPED: no Chromium is installed (Debian: chromium)");
/** A red pixel. */
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==",
  "base64",
);

describe("the page of a directory", { skip: CHROMIUM === null }, () => {
  let gateway: ServedGateway;
  let page: BrowserPage;
  const textOf = (path: string): string =>
    Buffer.from(gateway.files.bytesOf(path) ?? []).toString();
  /** Returns a script that drops or chooses files. */
  const withFiles = (files: Readonly<Record<string, string>>, act: string): string => `(() => {
    const data = new DataTransfer();
    for (const [name, text] of Object.entries(${JSON.stringify(files)})) data.items.add(new File([text], name));
    ${act}
  })()`;

  before(async () => {
    gateway = await ServedGateway.start();
    page = await BrowserPage.start(CHROMIUM ?? "");
    await gateway.files.mkdir("/d/sub", { parents: true });
    await gateway.files.writeFile("/d/notes.txt", [Buffer.from("<b>text</b> ".repeat(10_000))]);
    await gateway.files.writeFile("/d/red.png", [PNG]);
    await gateway.files.writeFile("/d/empty.txt", []);
    await gateway.files.writeFile(`/d/${"long name ".repeat(12)}.bin`, [PNG]);
  });
  after(async () => {
    await page?.[Symbol.asyncDispose]();
    await gateway?.[Symbol.asyncDispose]();
  });

  const open = (path: string): Promise<void> => page.open(`http://${gateway.address}${path}`);

  it("uploads dropped files under their exact names, each with its own bar", async () => {
    await open("/files/d/");
    const files = { 'quote".txt': "1", "100%25.txt": "2", "größe #1?.txt": "3" };
    // The page is reloaded at the end: count the bars before.
    const bars = await page.evaluate<number>(
      withFiles(
        files,
        `document.dispatchEvent(new DragEvent("dragover", { dataTransfer: data, bubbles: true, cancelable: true }));
         window.isOldPage = true;
         document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
         return new Promise((resolve) => setTimeout(() => resolve(document.querySelectorAll("#uploads progress").length), 0));`,
      ),
    );
    assert.equal(bars, 3);
    await page.until(`window.isOldPage !== true && document.readyState === "complete"`);
    for (const [name, text] of Object.entries(files)) {
      assert.equal(textOf(`/d/${Buffer.from(name).toString("latin1")}`), text, name);
    }
    const names = `[...document.querySelectorAll("tbody bdi")].map((each) => each.textContent)`;
    const shown = await page.evaluate<string[]>(names);
    for (const name of Object.keys(files)) assert.ok(shown.includes(name), name);
  });

  it("uploads a dropped directory with its directories", async () => {
    await using local = await TempDirectory.make();
    const names = Array.from({ length: 150 }, (_, index) => `f${index}`);
    await mkdir(`${local.path}/tree/in ner`, { recursive: true });
    await Promise.all(names.map((name) => writeFile(`${local.path}/tree/in ner/${name}`, name)));
    await open("/files/d/sub/");
    await page.evaluate("window.isOldPage = true");
    const data = { items: [], files: [`${local.path}/tree`], dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"]) {
      await page.call("Input.dispatchDragEvent", { type, x: 200, y: 200, data });
    }
    await page.until(`window.isOldPage !== true && document.readyState === "complete"`);
    for (const name of names) assert.equal(textOf(`/d/sub/tree/in ner/${name}`), name);
  });

  it("shows for each file why it is not stored, and replaces only on request", async () => {
    await gateway.files.writeFile("/d/taken.txt", [Buffer.from("old")]);
    await open("/files/d/");
    const choose = (before: string): string =>
      withFiles(
        { "taken.txt": "new", "other.txt": "other" },
        `${before} window.isOldPage = true;
         const form = document.getElementById("upload");
         form.elements.file.files = data.files;
         form.requestSubmit();`,
      );
    await page.evaluate(choose(""));
    await page.until(
      `document.getElementById("message").textContent.startsWith("Not stored: 1 of 2")`,
    );
    const rows = await page.evaluate<string[]>(
      `[...document.querySelectorAll("#uploads li")].map((each) => each.textContent)`,
    );
    assert.match(String(rows[0]), /^taken\.txt: Cannot PUT/);
    assert.equal(rows[1], "other.txt");
    assert.deepEqual([textOf("/d/taken.txt"), textOf("/d/other.txt")], ["old", "other"]);
    await page.evaluate(choose(`document.querySelector("[name=replace]").checked = true;`));
    await page.until(`window.isOldPage !== true && document.readyState === "complete"`);
    assert.equal(textOf("/d/taken.txt"), "new");
  });

  it("previews images and the begin of texts", async () => {
    await open("/files/d/");
    const press = (name: string): string =>
      `[...document.querySelectorAll("tbody tr")].find((row) => row.querySelector("bdi")?.textContent === "${name}").querySelector("button.preview").click()`;
    await page.evaluate(press("red.png"));
    await page.until(`document.querySelector("#preview img")?.naturalWidth === 1`);
    assert.equal(await page.evaluate(`document.getElementById("preview").open`), true);
    await page.evaluate(`document.getElementById("preview").close()`);
    await page.evaluate(press("notes.txt"));
    await page.until(`document.querySelector("#preview pre")?.textContent.length > 0`);
    const text = await page.evaluate<string>(`document.querySelector("#preview pre").textContent`);
    assert.ok(text.startsWith("<b>text</b> "), "markup is shown as text");
    assert.match(text, /\[The first 65536 of 120000 bytes\]$/);
    await page.evaluate(`document.getElementById("preview").close()`);
    await page.evaluate(press("empty.txt"));
    await page.until(`document.getElementById("preview").open`);
    const count = await page.evaluate(`document.querySelectorAll("button.preview").length`);
    const previewable = gateway.files.paths.filter((path) => /^\/d\/.*\.(txt|png)$/.test(path));
    assert.equal(count, previewable.length);
  });

  it("fits a screen of 400 pixels: no time, and names in whole lines", async () => {
    await page.call("Emulation.setDeviceMetricsOverride", {
      width: 400,
      height: 800,
      deviceScaleFactor: 1,
      mobile: false,
    });
    await open("/files/d/");
    const layout = await page.evaluate<{ scroll: number; time: string; nameWidth: number }>(`({
      scroll: document.documentElement.scrollWidth,
      time: getComputedStyle(document.querySelector("td.time")).display,
      nameWidth: document.querySelector("tbody td").getBoundingClientRect().width,
    })`);
    assert.ok(layout.scroll <= 400, `the page is ${layout.scroll} pixels wide`);
    assert.equal(layout.time, "none");
    assert.ok(layout.nameWidth > 180, `names have ${layout.nameWidth} pixels`);
  });

  it("works without the script", async () => {
    await page.call("Emulation.setScriptExecutionDisabled", { value: true });
    await open("/files/d/");
    const hidden = await page.evaluate<boolean[]>(
      `[...document.querySelectorAll("button.delete, button.preview, #make-directory")].map((each) => each.hidden)`,
    );
    assert.ok(hidden.length > 0 && hidden.every((each) => each));
    await page.evaluate(
      withFiles(
        { "plain.txt": "plain" },
        `const form = document.getElementById("upload");
         form.elements.file.files = data.files;
         form.querySelector("button").click();`,
      ),
    );
    await page.until(`document.body.textContent.includes("plain.txt")`);
    assert.equal(textOf("/d/plain.txt"), "plain");
  });
});
