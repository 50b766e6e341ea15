/** Style of all pages. */
export const PAGE_STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.2rem; overflow-wrap: anywhere; }
form { margin: .5rem 0; display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
form[hidden] { display: none; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
th, td { text-align: left; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
td:first-child { overflow-wrap: anywhere; white-space: pre-wrap; }
th.size { width: 6rem; }
th.time { width: 10rem; }
th.actions { width: 14rem; }
.size { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.time, .actions { white-space: nowrap; }
#uploads { list-style: none; padding: 0; }
#uploads li { overflow-wrap: anywhere; }
#uploads progress { width: 8rem; margin-right: .6rem; }
body.dropping { outline: 3px dashed #48f; outline-offset: -6px; }
dialog { max-width: 90vw; max-height: 90vh; }
dialog img { display: block; max-width: 80vw; max-height: 70vh; }
dialog pre { max-height: 70vh; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  body { margin: .5rem auto; padding: 0 .5rem; }
  .time { display: none; }
  th.size { width: 5rem; }
  th.actions { width: 5.5rem; }
  .actions a, .actions button { display: block; margin-left: auto; }
  .actions button[hidden] { display: none; }
}
`;

/**
 * Script of the directory page. Each file is uploaded in its own PUT, so that its exact name is
 * sent and its progress is known. Dropped directories are uploaded with their directories. The
 * script takes all names from attributes of the page, so it is constant and the content security
 * policy can hold its hash.
 */
export const PAGE_SCRIPT = `
"use strict";
const PREVIEW_BYTES = 65536;
const byId = (id) => document.getElementById(id);
const form = byId("upload");
const message = byId("message");
const list = byId("uploads");
const explain = (text) => {
  try { const { error } = JSON.parse(text); return error.hint ? error.message + ". " + error.hint : error.message; }
  catch { return "no response"; }
};
const send = (method, url, body, headers, onProgress) => new Promise((resolve, reject) => {
  const request = new XMLHttpRequest();
  request.open(method, url);
  request.setRequestHeader("Accept", "application/json");
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  if (onProgress) request.upload.onprogress = (event) => onProgress(event.loaded);
  request.onload = () => request.status < 300 ? resolve() : reject(new Error(explain(request.responseText)));
  request.onerror = () => reject(new Error("the connection was lost"));
  request.send(body);
});
const run = async (work) => {
  try { await work(); location.reload(); }
  catch (error) { message.textContent = error.message; }
};
const addRow = (path) => {
  const row = document.createElement("li");
  const bar = document.createElement("progress");
  const text = document.createElement("span");
  bar.max = 1;
  bar.value = 0;
  text.textContent = path.join("/");
  row.append(bar, text);
  list.append(row);
  return { bar, text };
};
// Uploads files of the form { path: names, file } one after the other, each with its own bar.
const upload = async (items) => {
  const headers = form.elements.replace.checked ? {} : { "If-None-Match": "*" };
  list.replaceChildren();
  const rows = items.map(({ path }) => addRow(path));
  let failedCount = 0;
  for (const [index, { path, file }] of items.entries()) {
    const { bar, text } = rows[index];
    try {
      const url = form.getAttribute("action") + path.map(encodeURIComponent).join("/") + (path.length > 1 ? "?parents" : "");
      await send("PUT", url, file, headers, (loaded) => { bar.value = loaded / (file.size || 1); });
      bar.value = 1;
    } catch (error) {
      failedCount += 1;
      text.textContent = path.join("/") + ": " + error.message;
    }
  }
  if (failedCount === 0) location.reload();
  else message.textContent = "Not stored: " + failedCount + " of " + items.length + ". Reload the page to see the stored files.";
};
form.addEventListener("submit", (event) => {
  event.preventDefault();
  upload([...form.elements.file.files].map((file) => ({ path: [file.name], file })));
});
const fileOf = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));
const readEntries = (reader) => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
const collect = async (entry, parents, items) => {
  const path = [...parents, entry.name];
  if (entry.isFile) { items.push({ path, file: await fileOf(entry) }); return; }
  const reader = entry.createReader();
  // Each call returns some of the entries, and none at the end.
  for (let entries = await readEntries(reader); entries.length > 0; entries = await readEntries(reader))
    for (const inner of entries) await collect(inner, path, items);
};
const hasFiles = (event) => event.dataTransfer !== null && event.dataTransfer.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("dropping");
});
document.addEventListener("drop", async (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  document.body.classList.remove("dropping");
  const files = [...event.dataTransfer.files];
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
  try {
    const items = [];
    for (const entry of entries) await collect(entry, [], items);
    await upload(entries.length > 0 ? items : files.map((file) => ({ path: [file.name], file })));
  } catch (error) { message.textContent = "Cannot read the dropped files: " + error.message; }
});
const maker = byId("make-directory");
maker.hidden = false;
maker.addEventListener("submit", (event) => {
  event.preventDefault();
  const url = maker.getAttribute("action") + encodeURIComponent(maker.elements.name.value) + "/?directory";
  run(() => send("PUT", url, null, {}));
});
for (const button of document.querySelectorAll("button.delete")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const url = button.dataset.href;
    const isDirectory = url.endsWith("/");
    const name = button.closest("tr").querySelector("bdi").textContent;
    if (!confirm("Delete " + name + (isDirectory ? " and everything in it?" : "?"))) return;
    run(() => send("DELETE", url + (isDirectory ? "?recursive=true" : ""), null, {}));
  });
}
const preview = byId("preview");
const showText = async (url, target) => {
  const response = await fetch(url, { headers: { Accept: "application/json", Range: "bytes=0-" + (PREVIEW_BYTES - 1) } });
  if (response.status === 416) return;
  if (!response.ok) throw new Error(explain(await response.text()));
  const total = (response.headers.get("Content-Range") || "").split("/")[1];
  target.textContent = await response.text();
  if (Number(total) > PREVIEW_BYTES) target.textContent += "\\n[The first " + PREVIEW_BYTES + " of " + total + " bytes]";
};
for (const button of document.querySelectorAll("button.preview")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const link = button.closest("tr").querySelector("a");
    const isImage = button.dataset.kind === "image";
    const content = document.createElement(isImage ? "img" : "pre");
    byId("preview-name").textContent = link.textContent;
    byId("preview-content").replaceChildren(content);
    if (isImage) { content.alt = link.textContent; content.src = link.getAttribute("href"); }
    preview.showModal();
    if (isImage) return;
    try { await showText(link.getAttribute("href"), content); }
    catch (error) { content.textContent = error.message; }
  });
}
`;
