/**
 * `node scripts/bundle-cli.mjs [DIST [FINAL]]`: bundles the compiled CLI into one file, with its bytecode. FINAL is the
 * path to which DIST is renamed later. A start then reads two files instead of 230, and compiles nothing. See `cli-bundle.cjs`.
 */
import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const require = createRequire(import.meta.url);
const { bytecodePath, runBundle } = require("./cli-bundle.cjs");

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Packages that load native code from their own directory, or that the CLI never loads. */
const EXTERNAL = ["@napi-rs/blake-hash", "blake3-wasm", "lmdb", "msgpackr-extract"];
/** The commands whose functions the bytecode contains. */
const WARM_COMMANDS = [
  ["stat", "/"],
  ["ls", "-l", "/"],
  ["mkdir", "-p", "/a"],
  ["rm", "-r", "/a"],
];

const [dist = join(ROOT, "dist"), final = dist] = process.argv.slice(2);
const bundle = bundleIn(dist);
rmSync(bytecodePath(bundle), { force: true });
const inputs = await writeBundle(bundle);
writeWhole(`${bundle}.licenses.txt`, licensesOf(inputs));
writeWhole(bytecodePath(bundle), await bytecodeOf(bundle));

/** Returns the path of the bundle in a build. */
function bundleIn(directory) {
  return join(resolve(directory), "client", "cli", "ashlar.cjs");
}

/** Writes the bundle. Returns the paths of its sources. */
async function writeBundle(path) {
  const { outputFiles, metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [join(dirname(path), "main.js")],
    outfile: path,
    write: false,
    metafile: true,
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node20",
    // Errors show the names of classes and functions.
    minifySyntax: true,
    minifyWhitespace: true,
    external: EXTERNAL,
    define: {
      "import.meta.url": "bundleUrl",
      // The heads of frames are short: the native decoder of strings costs more than it saves.
      "process.env.MSGPACKR_NATIVE_ACCELERATION_DISABLED": '"true"',
    },
    banner: { js: 'const bundleUrl=require("node:url").pathToFileURL(__filename).href;' },
    legalComments: "none", // `licensesOf` writes the licences to a file.
    logLevel: "warning",
  });
  const code = outputFiles[0].text;
  writeWhole(path, `//${createHash("sha256").update(code).digest("hex")}\n${code}`);
  return Object.keys(metafile.inputs);
}

/** Returns the licences of the packages that are part of the bundle. */
function licensesOf(paths) {
  const directories = new Set();
  for (const path of paths) {
    const match = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path);
    if (match !== null) directories.add(match[0]);
  }
  const texts = [...directories].sort().map((directory) => {
    const root = resolve(ROOT, directory);
    const { name, version, license } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const file = readdirSync(root).find((each) => /^licen[cs]e/i.test(each));
    const text = file === undefined ? "" : readFileSync(join(root, file), "utf8").trim();
    return `${name} ${version} (${license})\n\n${text}\n`;
  });
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}

/** Returns the bytecode of the functions that the start of a command needs, after their first run. */
async function bytecodeOf(path) {
  const { exports, script } = runBundle(path, bundleIn(final));
  const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const variables = {
    ASHLAR_CLUSTER: `127.0.0.1:${server.address().port}`,
    ASHLAR_TIMEOUT: "20ms",
  };
  for (const words of WARM_COMMANDS) await exports.main(words, silentEnv(variables));
  server.close();
  const source = readFileSync(path, "latin1");
  const digest = source.slice(2, source.indexOf("\n"));
  return Buffer.concat([Buffer.from(digest, "latin1"), script.createCachedData()]);
}

function silentEnv(variables) {
  const sink = () => new Writable({ write: (_bytes, _encoding, done) => done() });
  return {
    stdin: process.stdin,
    hasStdin: false,
    umask: 0o022,
    stdout: sink(),
    stderr: sink(),
    variables,
    workingDirectory: "",
    signals: new EventEmitter(),
    exit: (status) => process.exit(status),
  };
}

function writeWhole(path, content) {
  writeFileSync(`${path}.new`, content);
  renameSync(`${path}.new`, path);
}
