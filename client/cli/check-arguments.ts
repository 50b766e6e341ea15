import { AshlarError } from "../../shared/base/errors.ts";
import type { CommandDefinition } from "./command.ts";

/**
 * Checks the arguments of which the table of commands has a list of values.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for another value
 */
export function checkArguments(
  { name, argumentKinds = [] }: Pick<CommandDefinition, "name" | "argumentKinds">,
  commandArguments: readonly string[],
): void {
  for (const [position, given] of commandArguments.entries()) {
    const kind = argumentKinds[position];
    if (!isList(kind) || kind.includes(given)) continue;
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot run "${name}": expected one of ${kind.join(", ")}: current value is "${given}"`,
    );
  }
}

function isList(kind: unknown): kind is readonly string[] {
  return Array.isArray(kind);
}
