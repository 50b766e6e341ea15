import { Packr, RESERVE_START_SPACE } from "msgpackr";
import { AshlarError } from "../../shared/base/errors.ts";
import type { SessionId } from "../../shared/base/ids.ts";
import type { Operation, Precondition } from "../../shared/protocol/namespace-api.ts";
import { decodeOperation, encodeOperation } from "../../shared/protocol/operation-codec.ts";
import type { Command, NamespaceOperation, Transact } from "./command.ts";
import { isKnownKind } from "./feature-levels.ts";

/**
 * The encoding of commands in the log: one version byte, then one msgpack value. A transaction is
 * an array (see `transactFields`), because nearly every entry holds one and every member decodes
 * it. Every other command is a plain map with string keys, to which a newer version may add fields.
 */
const COMMAND_VERSION = 1;
const VERSION_BYTES = 1;

const packr = new Packr({ useRecords: false });

/** Encodes `command` for the log. */
export function encodeCommand(command: Command): Uint8Array {
  const value = command.kind === "transact" ? transactFields(command) : command;
  // msgpackr reserves the version byte in front of the value, so the value is not copied. Commands
  // share the buffers of msgpackr. This retains no extra memory: the log holds all commands and
  // releases them in order.
  const packed = packr.pack(value, RESERVE_START_SPACE + VERSION_BYTES);
  packed[0] = COMMAND_VERSION;
  // A plain Uint8Array, not a Buffer, so that entries have the same type on every member.
  const bytes = new Uint8Array(packed.buffer, packed.byteOffset, packed.length);
  return bytes;
}

/**
 * Decodes a command that `encodeCommand` encoded. Byte strings in the command are views of `data`.
 *
 * @throws {AshlarError} VERSION_MISMATCH if a newer version encoded it. This member must stop:
 *   otherwise it would skip a change that the other members make.
 */
export function decodeCommand(data: Uint8Array): Command {
  if (data[0] !== COMMAND_VERSION) {
    throw newerVersion(`expected version ${COMMAND_VERSION}: current value is ${data[0]}`);
  }
  const value: unknown = packr.unpack(data, { start: VERSION_BYTES, end: data.length });
  if (Array.isArray(value)) return transactOf(value);
  const command = value as Command;
  if (isKnownKind(command.kind)) return command;
  const kind = command.kind as string;
  throw newerVersion(`expected a kind that this version supports: current value is "${kind}"`);
}

/** Time, session, sequence, first unacknowledged sequence, operations, preconditions. */
type TransactFields = readonly [number, SessionId, number, number, unknown[], Precondition[]];

function transactFields({ nowMs, attempt, preconditions, operations }: Transact): TransactFields {
  const { sessionId, sequence, firstUnacknowledged } = attempt;
  const encoded: unknown[] = [];
  // The operations that the leader replaces (`PutOperation` and so on) have no compact encoding:
  // `encodeOperation` returns them unchanged. So the type assertion is safe.
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
  const isCompact = Array.isArray(value);
  return isCompact ? (decodeOperation(value) as NamespaceOperation) : (value as NamespaceOperation);
}

function newerVersion(reason: string): AshlarError {
  return new AshlarError("VERSION_MISMATCH", `Cannot apply a command: ${reason}`, {
    hint: "Run the same version of Ashlar on every master",
  });
}
