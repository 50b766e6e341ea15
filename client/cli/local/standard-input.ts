import { AshlarError } from "../../../shared/base/errors.ts";
import type { CliEnv } from "../cli-env.ts";
import type { CommandContext } from "../command.ts";

/**
 * Yields the bytes of standard input. When `signal` aborts, the stream is destroyed and a pending
 * read fails: the writer of a pipe can be silent for ever.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if the process was started without standard input; the
 *   reason of the signal
 */
export async function* standardInput(
  context: InputContext,
): AsyncGenerator<Uint8Array, void, void> {
  const { env, signal } = context;
  requireStandardInput(env);
  signal.throwIfAborted();
  const { stdin } = env;
  const onAbort = (): void => {
    stdin.destroy(signal.reason as Error);
  };
  stdin.on("error", ignore); // An error between two reads is reported by the next read.
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const parts = stdin[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    for (;;) {
      const { done, value } = await nextPart(context, parts);
      if (done === true) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    stdin.destroy(); // The command does not wait for the writer of the pipe.
  }
}

/** What reads standard input. */
export type InputContext = Pick<CommandContext, "env" | "output" | "signal" | "waits">;

/** A user who types is not disturbed; the writer of a pipe is what the command waits for. */
function nextPart(
  { env, output, waits }: InputContext,
  parts: AsyncIterator<Uint8Array>,
): Promise<IteratorResult<Uint8Array>> {
  if (env.stdin.isTTY === true) return output.withoutWaits(() => parts.next());
  return waits.during("standard input", () => parts.next());
}

function ignore(): void {}

/**
 * Refuses a standard input that was closed (`<&-`), which would be read as an empty one.
 *
 * @throws {AshlarError} INVALID_ARGUMENT
 */
function requireStandardInput({ hasStdin }: CliEnv): void {
  if (hasStdin) return;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    "Cannot read standard input: expected an open descriptor 0: it is closed, or /dev/null that is open for writing",
    { hint: "Name /dev/null as the source, or use < /dev/null, to read nothing" },
  );
}
