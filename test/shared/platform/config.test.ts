import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import * as v from "valibot";
import { isAshlarError } from "../../../shared/base/errors.ts";
import {
  displayOrigin,
  environmentNameOf,
  flagNameOf,
  mergeConfig,
} from "../../../shared/platform/config.ts";
import { loadConfig, parseConfigFile } from "../../../shared/platform/load-config.ts";
import { TempDirectory } from "../../support/temp-directory.ts";

const schema = v.strictObject({
  dataDir: v.pipe(v.string(), v.minLength(1)),
  members: v.optional(v.array(v.string()), []),
  ports: v.optional(v.array(v.pipe(v.number(), v.integer())), []),
  http: v.optional(v.nullable(v.string()), null),
  stopGraceMs: v.optional(v.pipe(v.number(), v.integer(), v.maxValue(60_000)), 5_000),
  inlineBytesMax: v.optional(v.pipe(v.number(), v.integer()), 4096),
  copies: v.optional(v.pipe(v.number(), v.integer()), 3),
  verify: v.optional(v.boolean(), true),
});

interface Given {
  readonly toml?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly flags?: Readonly<Record<string, unknown>>;
}

function merge({ toml, environment = {}, flags = { dataDir: "/d" } }: Given) {
  const file = toml === undefined ? null : parseConfigFile("/etc/ashlar/master.toml", toml);
  return mergeConfig({ schema, file, environment, flags });
}

function problemOf(given: Given): { readonly message: string; readonly hint: string | undefined } {
  try {
    merge(given);
  } catch (error) {
    assert.ok(isAshlarError(error, "INVALID_ARGUMENT"), String(error));
    return { message: error.message, hint: error.hint };
  }
  throw new Error("The config was accepted");
}

describe("config layers", () => {
  it("merges defaults, file, environment and flags, in order of increasing precedence", () => {
    const { values, origins } = merge({
      toml: 'dataDir = "/file"\n\ncopies = 5\nstopGraceMs = 1000\nverify = false\n',
      environment: { ASHLAR_DATA_DIR: "/env", ASHLAR_COPIES: "7", PATH: "/bin" },
      flags: { dataDir: "/flag", copies: undefined },
    });
    assert.deepEqual(values, {
      dataDir: "/flag",
      copies: 7,
      stopGraceMs: 1000,
      verify: false,
      members: [],
      ports: [],
      http: null,
      inlineBytesMax: 4096,
    });
    const shown = Object.entries(origins).map(([key, origin]) => [key, displayOrigin(origin)]);
    assert.deepEqual(Object.fromEntries(shown), {
      dataDir: "flag --data-dir",
      copies: "environment ASHLAR_COPIES",
      stopGraceMs: "/etc/ashlar/master.toml:4",
      verify: "/etc/ashlar/master.toml:5",
      members: "default",
      ports: "default",
      http: "default",
      inlineBytesMax: "default",
    });
  });

  it("converts text to the type that the schema expects", () => {
    const environment = {
      ASHLAR_MEMBERS: "1=a:1, 2=b:2",
      ASHLAR_PORTS: "1,2",
      ASHLAR_HTTP: "none",
      ASHLAR_STOP_GRACE_MS: "10s",
      ASHLAR_INLINE_BYTES_MAX: "64KiB",
      ASHLAR_VERIFY: "false",
    };
    const { values } = merge({ environment });
    assert.deepEqual(values.members, ["1=a:1", "2=b:2"]);
    assert.deepEqual(values.ports, [1, 2]);
    assert.equal(values.http, null);
    assert.equal(values.stopGraceMs, 10_000);
    assert.equal(values.inlineBytesMax, 65_536);
    assert.equal(values.verify, false);
    assert.equal(merge({ toml: 'stopGraceMs = "2s"' }).values.stopGraceMs, 2000);
    assert.equal(merge({ environment: { ASHLAR_STOP_GRACE_MS: "250" } }).values.stopGraceMs, 250);
    assert.deepEqual(merge({ environment: { ASHLAR_MEMBERS: "" } }).values.members, []);
    assert.equal(merge({ flags: { dataDir: "7" } }).values.dataDir, "7");
  });

  it("derives the environment variable and the flag of a key", () => {
    assert.equal(environmentNameOf("electionTimeoutMsMin"), "ASHLAR_ELECTION_TIMEOUT_MS_MIN");
    assert.equal(flagNameOf("electionTimeoutMsMin"), "--election-timeout-ms-min");
  });
});

describe("invalid config", () => {
  it("is refused with the file, the line, the key and the most similar known key", () => {
    const { message, hint } = problemOf({ toml: '# a comment\ndataDirr = "/x"' });
    assert.match(message, /dataDirr \(\/etc\/ashlar\/master\.toml:2\)/);
    assert.equal(hint, "Did you mean dataDir?");
    assert.equal(problemOf({ toml: "[colour]\nx = 1" }).hint, undefined);
    assert.match(problemOf({ toml: "\n[colour]\nx = 1" }).message, /master\.toml:2/);
    assert.match(problemOf({ flags: { dataDir: "/d", copy: 1 } }).message, /flag --copy/);
  });

  it("is refused with the source of the value, the expected and the actual value", () => {
    const fromFile = problemOf({ toml: "stopGraceMs = 60001" });
    assert.match(fromFile.message, /stopGraceMs \(.*toml:1\).*60000.*current value is 60001$/);
    const fromEnvironment = problemOf({ environment: { ASHLAR_STOP_GRACE_MS: "soon" } });
    assert.match(fromEnvironment.message, /environment ASHLAR_STOP_GRACE_MS.*duration/);
    assert.match(problemOf({ environment: { ASHLAR_COPIES: "x" } }).message, /ASHLAR_COPIES/);
    assert.match(problemOf({ environment: { ASHLAR_COPIES: "" } }).message, /ASHLAR_COPIES/);
    assert.match(problemOf({ environment: { ASHLAR_VERIFY: "yes" } }).message, /ASHLAR_VERIFY/);
  });

  it("is refused with all ways to set a value that has no default", () => {
    const { message, hint } = problemOf({ flags: {} });
    assert.match(message, /dataDir/);
    assert.match(hint ?? "", /--data-dir, ASHLAR_DATA_DIR, or dataDir/);
  });
});

describe("config file", () => {
  it("is read from disk", async () => {
    await using directory = await TempDirectory.make();
    const file = `${directory.path}/master.toml`;
    await writeFile(file, 'dataDir = "/x"');
    const { values, origins } = await loadConfig({ schema, file, environment: {}, flags: {} });
    assert.equal(values.dataDir, "/x");
    assert.deepEqual(origins["dataDir"], { kind: "file", path: file, line: 1 });
  });

  it("is refused with its path and line if it is missing, unreadable or not TOML", async () => {
    await using directory = await TempDirectory.make();
    const load = (name: string) =>
      loadConfig({ schema, file: `${directory.path}/${name}`, environment: {}, flags: {} });
    await mkdir(`${directory.path}/directory.toml`);
    await writeFile(`${directory.path}/bad.toml`, 'dataDir = "/x"\ncopies = = 3\n');
    const named = (text: string) => (error: unknown) =>
      isAshlarError(error, "INVALID_ARGUMENT") && error.message.includes(text);
    await assert.rejects(load("none.toml"), named("none.toml: ENOENT"));
    await assert.rejects(load("directory.toml"), named("directory.toml: EISDIR"));
    await assert.rejects(load("bad.toml"), named("bad.toml:2:"));
  });
});
