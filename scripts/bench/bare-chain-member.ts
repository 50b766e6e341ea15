/**
 * One process of a bare chain (`bare-chain.ts`): `bare-chain-member.js FILE|- STORE|- [PORT …]`. It writes the
 * messages of each read to FILE with O_DSYNC; with "-" it writes nothing. It stores the rows of each message in
 * the directory STORE; with "-" it stores none. With ports, it also forwards the messages to the processes on
 * these ports, and answers when a majority has them.
 */
import { closeSync, constants, fsyncSync, openSync, write, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { ANSWER_BYTES, MESSAGE_BYTES } from "./bare-chain-messages.ts";
import { BareChainStore } from "./bare-chain-store.ts";

/**
 * Length of FILE. Written in advance, so that an overwrite needs no journal entry of the file
 * system.
 */
const FILE_BYTES = 8 * 1024 * 1024;

const [path = "", storePath = "", ...ports] = process.argv.slice(2);
const file = path === "-" ? null : opened(path);
const store = storePath === "-" ? null : new BareChainStore(storePath);
/** Bytes of messages that each process has: this process first, then its followers. */
const written = [0, ...ports.map(() => 0)];
const majority = (written.length >> 1) + 1;
let position = 0;
let answeredCount = 0;
let asker: Socket | null = null;
const followers = ports.map((port, index) => {
  const socket = noDelay(connect(Number(port), "127.0.0.1"));
  return socket.on("data", (bytes) =>
    onWritten(index + 1, (bytes.length / ANSWER_BYTES) * MESSAGE_BYTES),
  );
});

const server = createServer((socket) => {
  asker = noDelay(socket).on("data", (bytes) => {
    for (const follower of followers) follower.write(bytes);
    store?.add(bytes);
    if (file === null) {
      onWritten(0, bytes.length);
      return;
    }
    if (position + bytes.length > FILE_BYTES) position = 0;
    write(file, bytes, 0, bytes.length, position, (error) => {
      if (error !== null) throw error;
      onWritten(0, bytes.length);
    });
    position += bytes.length;
  });
});
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
process.on("disconnect", () => process.exit());

/** Records the progress of a process, and answers the whole messages that a majority has. */
function onWritten(processIndex: number, sizeBytes: number): void {
  written[processIndex] = (written[processIndex] ?? 0) + sizeBytes;
  const reachedBytes = [...written].sort((left, right) => right - left)[majority - 1] ?? 0;
  const reached = Math.floor(reachedBytes / MESSAGE_BYTES);
  if (reached <= answeredCount) return;
  asker?.write(Buffer.alloc((reached - answeredCount) * ANSWER_BYTES));
  answeredCount = reached;
}

function opened(at: string): number {
  writeFileSync(at, Buffer.alloc(FILE_BYTES));
  const created = openSync(at, "r+");
  fsyncSync(created);
  closeSync(created);
  return openSync(at, constants.O_WRONLY | constants.O_DSYNC);
}

function noDelay(socket: Socket): Socket {
  return socket.setNoDelay(true);
}
