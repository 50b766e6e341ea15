import { Packr } from "msgpackr";

/** About the size of a create on the wire and in the log. */
export const MESSAGE_BYTES = 300;
/** About the size of the answer to a create. */
export const ANSWER_BYTES = 60;

const packr = new Packr({ useRecords: false });

/** The fields of a command that creates a file, as the log of the masters has them. */
export type Create = readonly [
  nowMs: number,
  sessionId: string,
  sequence: number,
  firstUnacknowledged: number,
  operation: readonly unknown[],
];

/** Returns a message with a create: its length in one byte, the fields, zeros. */
export function encodeCreate(sequence: number): Buffer {
  const message = Buffer.alloc(MESSAGE_BYTES);
  const operation = ["create", "/chain", `file-${sequence}`, 0o644, 0, 0, "standard"];
  const create: Create = [Date.now(), "a-session", sequence, sequence, operation];
  message[0] = packr.pack(create).copy(message, 1);
  return message;
}

/** Decodes the message that begins at `start`. */
export function decodeCreate(bytes: Buffer, start: number): Create {
  return packr.unpack(bytes, { start: start + 1, end: start + 1 + bytes.readUInt8(start) });
}
