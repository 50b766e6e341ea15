// The bundle of the CLI, dist/client/cli/ashlar.cjs, and the bytecode of it that V8 made at the build,
// ashlar.cjs.bytecode. Both are optional: without the bundle the launcher loads dist/client/cli/main.js,
// and without the bytecode, or with that of another version of Node, V8 compiles the bundle.
//
// V8 compares only the length of the source with that of the bytecode. So the first line of the bundle
// and the first bytes of the bytecode have the same digest of the rest of the bundle:
//
//     bundle     "//", SHA-256 in 64 hex digits, line feed, code
//     bytecode   SHA-256 in 64 hex digits, data of V8
const { existsSync, readFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const { dirname } = require("node:path");
const { constants, Script } = require("node:vm");

const DIGEST_START = 2;
const DIGEST_LENGTH = 64;

/** Returns the path of the bytecode of a bundle. */
const bytecodePath = (path) => `${path}.bytecode`;

/** Loads a bundle. Returns its exports. */
function loadBundle(path) {
  return existsSync(bytecodePath(path)) ? runBundle(path).exports : require(path);
}

/**
 * Runs a bundle, from its bytecode if V8 accepts it. Returns its exports and the script.
 *
 * V8 keeps `name`, which stack traces show, in the bytecode. The build gives the path where the bundle will be.
 */
function runBundle(path, name = path) {
  const source = readFileSync(path, "latin1"); // The bundler escapes all other characters.
  // The parameters are those of every CommonJS module.
  const text = `(function(exports,require,module,__filename,__dirname){${source}\n})`;
  const script = new Script(text, {
    filename: name,
    cachedData: bytecodeOf(path, source),
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(path), module, path, dirname(path));
  return { exports: module.exports, script };
}

/** Returns the data of V8 for exactly this source; undefined if there is none. */
function bytecodeOf(path, source) {
  if (!existsSync(bytecodePath(path))) return undefined;
  const bytes = readFileSync(bytecodePath(path));
  const digest = source.slice(DIGEST_START, DIGEST_START + DIGEST_LENGTH);
  const isSame = bytes.latin1Slice(0, DIGEST_LENGTH) === digest;
  return isSame ? bytes.subarray(DIGEST_LENGTH) : undefined;
}

module.exports = { bytecodePath, loadBundle, runBundle };
