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
th.actions { width: 9.5rem; }
.size { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.time, .actions { white-space: nowrap; }
@media (max-width: 40rem) {
  body { margin: .5rem auto; padding: 0 .5rem; }
  .time { display: none; }
  th.size { width: 5rem; }
  th.actions { width: 5rem; }
  .actions a, .actions button { display: block; margin-left: auto; }
  .actions button[hidden] { display: none; }
}
`;

/**
 * Script of the directory page. Each file is uploaded in its own PUT, so that its exact name is
 * sent and its progress is known. The script takes all names from attributes of the page, so it is
 * constant and the content security policy can hold its hash.
 */
export const PAGE_SCRIPT = `
"use strict";
const form = document.getElementById("upload");
const bar = form.querySelector("progress");
const message = document.getElementById("message");
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
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const files = [...form.elements.file.files];
  const total = files.reduce((sum, file) => sum + file.size, 0) || 1;
  const headers = form.elements.replace.checked ? {} : { "If-None-Match": "*" };
  bar.hidden = false;
  run(async () => {
    let done = 0;
    for (const file of files) {
      message.textContent = file.name;
      const url = form.getAttribute("action") + encodeURIComponent(file.name);
      await send("PUT", url, file, headers, (loaded) => { bar.value = (done + loaded) / total; });
      done += file.size;
    }
  });
});
const maker = document.getElementById("make-directory");
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
`;
