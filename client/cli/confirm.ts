import { createInterface } from "node:readline/promises";
import { AshlarError } from "../../shared/base/errors.ts";

/**
 * Asks before something that cannot be taken back. `--yes` answers for the user; off a terminal
 * nobody can answer, so it is refused there.
 *
 * @returns whether to go on
 * @throws {AshlarError} INVALID_ARGUMENT off a terminal
 */
export async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  if (process.stdin.isTTY !== true) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot ask "${question}": standard input is not a terminal`,
      {
        hint: "Pass --yes to go on without asking",
      },
    );
  }
  const readline = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await readline.question(`${question} [y/N] `, { signal });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    readline.close();
  }
}
