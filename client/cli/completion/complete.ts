import { AshlarError } from "../../../shared/base/errors.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { bytesOfText } from "../argument-text.ts";
import type { CliEnv } from "../cli-env.ts";
import type { CommandDefinition } from "../command.ts";
import { EXIT_STATUS } from "../exit-status.ts";
import { type CompletionDeps, completionOf } from "./candidates.ts";
import { parseShellLine } from "./shell-line.ts";
import { replyRecords } from "./shell-reply.ts";
import { SHELLS } from "./shells.ts";

/*
 * The hidden command that the completion scripts call:
 *
 *     ashlar __complete SHELL BEFORE AFTER REPLACED
 *
 * BEFORE and AFTER are the line before and after the cursor, REPLACED is explained at `Replaced`. It
 * prints records that end with NUL: the action of the script, then the candidates (`replyRecords`).
 */
/** Limit of a completion. The prompt of the user waits for it. */
const DEADLINE_MS = 1_000;

/**
 * Runs the hidden command. It prints nothing if there is nothing to offer, after any error, and at its
 * deadline. The exit status is always 0: an error would appear in the middle of the line.
 */
export async function complete(
  env: CliEnv,
  commands: readonly CommandDefinition[],
  commandArguments: readonly string[],
): Promise<number> {
  const controller = new AbortController();
  const timer = new SystemClock().after(DEADLINE_MS, () =>
    controller.abort(new AshlarError("DEADLINE_EXCEEDED", "The completion was stopped")),
  );
  const deps = { env, commands, signal: controller.signal, timeoutMs: DEADLINE_MS };
  try {
    env.stdout.write(await replyTo(commandArguments, deps));
  } catch {
    // No candidates.
  } finally {
    timer.cancel();
  }
  return EXIT_STATUS.done;
}

/** Resolves with the output of the hidden command. @throws as `completionOf` does */
export async function replyTo(
  commandArguments: readonly string[],
  deps: CompletionDeps,
): Promise<Buffer> {
  const [shellName, before = "", after = "", text = ""] = commandArguments;
  const shell = SHELLS.find((each) => each === shellName);
  const line = shell === undefined ? null : parseShellLine(before, shell);
  if (shell === undefined || line === null) return recordsOf([]);
  if (line.isRedirection) return recordsOf(["files"]);
  // Only the shell knows the value of `$a/b`, and it can complete a path of this machine.
  const word = line.word ?? "$";
  const words = { words: line.words.slice(1), word, hasMore: /\s[^\s-]/.test(after) };
  const completion = await completionOf(deps, words);
  return recordsOf(replyRecords(completion, { shell, line: { ...line, word }, text }));
}

function recordsOf(records: readonly string[]): Buffer {
  return Buffer.concat(records.flatMap((record) => [bytesOfText(record), Buffer.of(0)]));
}
