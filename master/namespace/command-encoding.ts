import { Packr, RESERVE_START_SPACE } from "msgpackr";
import { AshlarError } from "../../shared/base/errors.ts";
import type { SessionId } from "../../shared/base/ids.ts";
import type { Operation, Precondition } from "../../shared/protocol/namespace-api.ts";
import { decodeOperation, encodeOperation } from "../../shared/protocol/operation-codec.ts";
import type { Command, NamespaceOperation, Transact } from "./command.ts";
import { isKnownKind } from "./feature-levels.ts";

/**
 * Commands as they stand in the log: one byte of version, then one msgpack value. A transaction is
 * an array (see `transactFields`), since nearly every entry holds one and every member decodes it;
 * the others are plain maps with string keys, to which a newer version may add fields.
 */
const COMMAND_VERSION = 1;
const VERSION_BYTES = 1;

const packr = new Packr({ useRecords: false });

/** The bytes of `command` for the log. */
export function encodeCommand(command: Command): Uint8Array {
  const value = command.kind === "transact" ? transactFields(command) : command;
  // msgpackr leaves room in front: nothing is copied together. Commands share its buffers, which
  // costs no more than the commands: the log holds them all, and lets them go in order.
  const packed = packr.pack(value, RESERVE_START_SPACE + VERSION_BYTES);
  packed[0] = COMMAND_VERSION;
  // Not as a Buffer: entries look alike at the leader and at the others.
  const bytes = new Uint8Array(packed.buffer, packed.byteOffset, packed.length);
  return bytes;
}

/**
 * The command in `data`, which `encodeCommand` made. Byte strings in it are views of `data`.
 *
 * @throws {AshlarError} VERSION_MISMATCH if a newer version wrote it: this member must not go on,
 *   since it would miss a change that the others make.
 */
export function decodeCommand(data: Uint8Array): Command {
  if (data[0] !== COMMAND_VERSION) {
    throw newer(`expected version ${COMMAND_VERSION}: it has version ${data[0]}`);
  }
  const value: unknown = packr.unpack(data, { start: VERSION_BYTES, end: data.length });
  if (Array.isArray(value)) return transactOf(value);
  const command = value as Command;
  if (isKnownKind(command.kind)) return command;
  throw newer(`expected a kind that this version knows: it is "${command.kind as string}"`);
}

/** Time, session, sequence, the first that is not acknowledged, operations, preconditions. */
type TransactFields = readonly [number, SessionId, number, number, unknown[], Precondition[]];

function transactFields({ nowMs, attempt, preconditions, operations }: Transact): TransactFields {
  const { sessionId, sequence, firstUnacknowledged } = attempt;
  const encoded: unknown[] = [];
  // Those that the leader has changed are among those that travel as they are.
  for (const operation of operations) encoded.push(encodeOperation(operation as Operation));
  return [nowMs, sessionId, sequence, firstUnacknowledged, encoded, [...preconditions]];
}

function transactOf(fields: readonly unknown[]): Transact {
  const [nowMs, sessionId, sequence, firstUnacknowledged, encoded, preconditions] =
    fields as unknown as TransactFields;
  const operations: NamespaceOperation[] = [];
  for (const value of encoded) operations.push(operationOf(value));
  const attempt = { sessionId, sequence, firstUnacknowledged };
  return { kind: "transact", nowMs, attempt, preconditions, operations };
}

function operationOf(value: unknown): NamespaceOperation {
  const isSmall = Array.isArray(value);
  return isSmall ? (decodeOperation(value) as NamespaceOperation) : (value as NamespaceOperation);
}

function newer(found: string): AshlarError {
  return new AshlarError("VERSION_MISMATCH", `Cannot apply a command: ${found}`, {
    hint: "Run the same version of Ashlar on every master",
  });
}
