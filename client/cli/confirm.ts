import { createInterface } from "node:readline/promises";
import { AshlarError } from "../../shared/base/errors.ts";
import type { CommandContext } from "./command.ts";

/**
 * Asks the user to confirm an action that cannot be undone. Callers skip the question if an option
 * answers it.
 *
 * @param hint names the options that answer the question
 * @returns whether the user confirmed
 * @throws {AshlarError} INVALID_ARGUMENT if standard input is not a terminal
 */
export async function confirm(
  { env, signal }: CommandContext,
  question: string,
  hint = "Pass --yes to skip the question",
): Promise<boolean> {
  if (env.stdin.isTTY !== true) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot ask "${question}": standard input is not a terminal`,
      { hint },
    );
  }
  const readline = createInterface({ input: env.stdin, output: env.stderr });
  try {
    const answer = await readline.question(`${question} [y/N] `, { signal });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    readline.close();
  }
}
