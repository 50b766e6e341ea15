import { createInterface } from "node:readline";
import { AshlarError } from "../../shared/base/errors.ts";
import type { CommandContext } from "./command.ts";

/**
 * Asks the user to confirm an action that cannot be undone. Callers skip the question if an option
 * answers it. The end of the input (Ctrl-D) means no, also for later questions.
 *
 * @param hint names the options that answer the question
 * @returns whether the user confirmed
 * @throws {AshlarError} INVALID_ARGUMENT if standard input is not a terminal; the reason of the
 *   signal
 */
export async function confirm(
  { env, output, signal }: CommandContext,
  question: string,
  hint = "Pass --yes to skip the question",
): Promise<boolean> {
  const { stdin, stderr } = env;
  if (stdin.isTTY !== true) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot ask "${question}": standard input is not a terminal`,
      { hint },
    );
  }
  signal.throwIfAborted();
  if (stdin.readableEnded) return false;
  // Not as a terminal: readline would read Ctrl-C as a key, and no signal would stop the command.
  const readline = createInterface({ input: stdin, terminal: false, signal });
  stderr.write(`${question} [y/N] `);
  try {
    const lines = readline[Symbol.asyncIterator]();
    const { done, value: answer } = await output.withoutWaits(() => lines.next());
    if (done !== true) return /^y(es)?$/i.test(answer.trim());
    stderr.write("\n");
    signal.throwIfAborted();
    return false;
  } finally {
    readline.close();
  }
}
