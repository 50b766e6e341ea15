import { isMasterList, parseClusterAddress } from "../../../shared/platform/cluster-address.ts";
import { readClusterFile } from "../../../shared/platform/local-cluster-file.ts";
import { loadUserConfig, SETTING_KEYS } from "../../../shared/platform/user-config.ts";
import type { AsOf } from "../../options.ts";
import { type CliEnv, systemPathOf } from "../cli-env.ts";
import { clusterDirectory } from "../cluster-directory.ts";
import type { CommandDefinition } from "../command.ts";
import { AT } from "../read-flags.ts";
import { loadSettings, type Settings } from "../settings.ts";
import type { Candidate } from "./candidate.ts";
import { type ExpectedWord, expectedWord, type LineWords } from "./expected-word.ts";
import { remoteCandidates } from "./remote-candidates.ts";

/** What completes a word: candidates, or the paths of this machine, which the shell knows best. */
export type Completion =
  | { readonly kind: "candidates"; readonly candidates: readonly Candidate[] }
  | { readonly kind: "files" | "directories" };

/** Dependencies of `completionOf`. */
export interface CompletionDeps {
  readonly env: CliEnv;
  readonly commands: readonly CommandDefinition[];
  readonly signal: AbortSignal;
  /** Timeout of the calls to a cluster. */
  readonly timeoutMs: number;
}

const FILES: Completion = { kind: "files" };
const DIRECTORIES: Completion = { kind: "directories" };

/**
 * Resolves with what completes the word at the cursor.
 *
 * @throws {AshlarError} if the settings cannot be used or the cluster does not answer
 */
export async function completionOf(deps: CompletionDeps, line: LineWords): Promise<Completion> {
  const expected = expectedWord(line, deps.commands);
  const before = line.word.slice(0, expected.valueStart);
  const value = line.word.slice(expected.valueStart);
  const wanted = new Set(expected.words.filter((text) => text.startsWith(line.word)));
  const words = [...wanted].map(whole);
  const found = await valuesOf(deps, { ...expected, text: value });
  if (found.kind !== "candidates") return words.length === 0 ? found : candidates(words);
  const values = found.candidates.filter(({ text }) => text.startsWith(value));
  return candidates([
    ...words,
    ...values.map(({ text, isPartial }) => ({ text: before + text, isPartial })),
  ]);
}

interface ExpectedText extends Pick<ExpectedWord, "value" | "given"> {
  /** The beginning of the value. */
  readonly text: string;
}

async function valuesOf(
  deps: CompletionDeps,
  { value, given, text }: ExpectedText,
): Promise<Completion> {
  if (typeof value !== "string") return candidates(value.map(whole));
  switch (value) {
    case "remote-path":
      return candidates(await remotePaths(deps, given, text));
    case "either-path": {
      const found = await remotePaths(deps, given, text);
      return found.length === 0 ? FILES : candidates(found);
    }
    case "marked-path":
      return text.startsWith("ashlar:") ? candidates(await remotePaths(deps, given, text)) : FILES;
    case "local-path":
      return FILES;
    case "local-directory":
      return DIRECTORIES;
    case "node":
      return candidates((await nodeNames(deps, given)).map(whole));
    case "cluster":
      return candidates((await clusterNames(deps)).map(whole));
    case "cluster-address": {
      const found = (await clusterNames(deps)).filter((name) => name.startsWith(text));
      return found.length === 0 ? DIRECTORIES : candidates(found.map(whole));
    }
    case "number":
    case "text":
      return candidates([]);
  }
}

const whole = (text: string): Candidate => ({ text, isPartial: false });

function candidates(found: readonly Candidate[]): Completion {
  return { kind: "candidates", candidates: found };
}

/** Resolves with the names of the config file, sorted. */
async function clusterNames({ env }: CompletionDeps): Promise<string[]> {
  return Object.keys((await loadUserConfig(env.variables)).clusters).sort();
}

/** Resolves with the names of the nodes in the directory that a `cluster` command would use. */
async function nodeNames(deps: CompletionDeps, given: ExpectedWord["given"]): Promise<string[]> {
  const { env } = deps;
  const { value } = (await settingsOf(deps, given)).cluster;
  const named = value === "" || isMasterList(value) ? null : value;
  const context = { env, clusterDirectory: () => Promise.resolve(named) };
  const file = await readClusterFile(await clusterDirectory(context, { dir: given.get("--dir") }));
  return file?.nodes.map(({ name }) => name) ?? [];
}

async function remotePaths(
  deps: CompletionDeps,
  given: ExpectedWord["given"],
  text: string,
): Promise<Candidate[]> {
  const { env, signal, timeoutMs } = deps;
  // The client library is loaded only here: commands and flags are completed without it.
  const { value, origin } = (await settingsOf(deps, given)).cluster;
  if (value === "") return [];
  const where = isMasterList(value) ? value : systemPathOf(env, value);
  const { masters, clusterId } = await parseClusterAddress(where, origin);
  const { connect } = await import("../../connect.ts");
  const cluster = { masters, ...(clusterId === null ? {} : { clusterId }) };
  await using files = await connect({ ...cluster, clientName: "ashlar", timeoutMs, signal });
  const at = given.get("--at");
  const readOptions = at === undefined ? { signal } : { signal, at: AT.parse?.(at) as AsOf };
  return await remoteCandidates(files, text, readOptions);
}

/** Returns the settings of the line, the environment and the config file. */
function settingsOf({ env }: CompletionDeps, given: ExpectedWord["given"]): Promise<Settings> {
  const flags = SETTING_KEYS.map((key) => [key, given.get(`--${key}`)] as const);
  return loadSettings(
    Object.fromEntries(flags.filter(([, value]) => value !== undefined)),
    env.variables,
  );
}
