import * as v from "valibot";
import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { REPLACE_HINT } from "../lost-entries.ts";
import { isWrongKind } from "./log-failure.ts";

/** Hex digits of the checksum at the end of the file: enough to detect damage. */
const CHECKSUM_DIGITS = 32;

/** Dependencies of the functions of this file. */
interface ChecksummedJsonDeps {
  readonly disk: Disk;
  readonly hasher: Hasher;
}

/**
 * Reads a small text file: one line of JSON, then "blake3 " and the first 32 hex digits of the
 * BLAKE3 of that line, including its line feed.
 *
 * @returns null if the file does not exist.
 * @throws {AshlarError} LOG_CORRUPT if the checksum does not match or it is no file; VERSION_MISMATCH if the content
 *   does not match `schema`.
 */
export async function readChecksummedJson<Output>(
  deps: ChecksummedJsonDeps,
  path: string,
  schema: v.GenericSchema<unknown, Output>,
): Promise<Output | null> {
  let bytes: Uint8Array;
  try {
    bytes = await deps.disk.readFile(path);
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND")) return null;
    if (!isAshlarError(error) || !isWrongKind(error)) throw error;
    throw damaged(path, `expected a regular file: ${error.message}`);
  }
  const text = new TextDecoder().decode(bytes);
  const lineEnd = text.indexOf("\n") + 1;
  const line = text.slice(0, lineEnd);
  if (text.slice(lineEnd) !== checksumLine(deps.hasher, line)) {
    throw damaged(path, "its checksum does not match");
  }
  const result = v.safeParse(schema, JSON.parse(line));
  if (result.success) return result.output;
  throw new AshlarError(
    "VERSION_MISMATCH",
    `Cannot read ${path}: expected format 1: ${result.issues[0].message}`,
    { hint: "Start the version of Ashlar that wrote it, or a newer one" },
  );
}

function damaged(path: string, reason: string): AshlarError {
  return new AshlarError("LOG_CORRUPT", `Cannot read ${path}: ${reason}`, {
    details: { path },
    hint: `Restore ${path} from a copy of it. Without a copy: ${REPLACE_HINT}`,
  });
}

/** Writes such a file atomically. It is durable when the promise resolves. */
export async function writeChecksummedJson(
  deps: ChecksummedJsonDeps,
  path: string,
  content: unknown,
): Promise<void> {
  const line = `${JSON.stringify(content)}\n`;
  const text = line + checksumLine(deps.hasher, line);
  await deps.disk.writeFileDurably(path, new TextEncoder().encode(text));
}

/** Returns the second line of the file. */
function checksumLine(hasher: Hasher, line: string): string {
  const digest = toHex(hasher.hash(new TextEncoder().encode(line)));
  return `blake3 ${digest.slice(0, CHECKSUM_DIGITS)}\n`;
}
