import { isUtf8 } from "node:buffer";
import { AshlarError } from "../../../shared/base/errors.ts";
import { formatCount } from "../../../shared/display/format.ts";
import { refusalOf, type TransactionRefusal } from "../../names/transaction.ts";
import type { CommandContext, RunCommand } from "../command.ts";
import { readInput } from "../local/read-input.ts";
import { type ParsedTransaction, parseTransaction } from "../transaction-lines.ts";

export const run: RunCommand = async (context, commandArguments) => {
  const { output, signal } = context;
  const bytes = await readInput(context, commandArguments[0] as string);
  if (!isUtf8(bytes)) throw notUtf8();
  const fileSystem = await context.fileSystem();
  const file = parseTransaction(bytes.toString("utf8"), fileSystem.transaction());
  const { index, inodes } = await file.transaction
    .commit({ signal })
    .catch((error: unknown) => throwRefusal(context, file, error));
  if (!output.options.json) {
    output.note(`committed ${formatCount(inodes.length, "operation")} at index ${index}`);
    return;
  }
  const results = file.operations.map((operation, operationIndex) => ({
    ...operation,
    inode: inodes[operationIndex] ?? null,
  }));
  await output.json("ashlar.txn/1", { committed: true, index, results });
};

/** A decoder would replace the bytes, and the transaction would change another path. */
function notUtf8(): AshlarError {
  return new AshlarError("INVALID_ARGUMENT", "Cannot use the transaction: expected text in UTF-8", {
    hint: "For names that are not UTF-8, use keys such as path_base64 (docs/cli.md)",
  });
}

/** Reports a refusal with the line of the refused part, and throws. */
async function throwRefusal(
  { output }: CommandContext,
  read: ParsedTransaction,
  error: unknown,
): Promise<never> {
  const refusal = refusalOf(error);
  if (refusal === null) throw error;
  const { part, position, message, code } = refusal;
  const parts = part === "operation" ? read.operations : read.preconditions;
  const line = parts[position]?.line;
  if (output.options.json) {
    const { path, expected, found } = refusal;
    const refused = { part, line, position, code, path, expected, found: jsonFound(found) };
    await output.json("ashlar.txn/1", { committed: false, refused });
  }
  throw new AshlarError(code, `Line ${line}: ${message}`, {
    cause: error,
    details: (error as AshlarError).details,
    hint: "No part of the transaction was applied",
  });
}

function jsonFound(found: TransactionRefusal["found"]): unknown {
  if (found === null || found.kind === "nothing") return found;
  const { kind, version } = found;
  if (found.kind === "directory") return { kind, version, entry_count: found.entryCount };
  return { kind, version, size_bytes: found.sizeBytes, content_root: found.contentRoot };
}
