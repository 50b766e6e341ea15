/**
 * One process of a bare chain (`bare-chain.ts`): `bare-chain-member.js FILE [PORT …]`. For each
 * message it overwrites a page of FILE with O_DSYNC. With ports, it also forwards the message to
 * the processes on these ports, and answers when a majority has written it.
 */
import { closeSync, constants, fsyncSync, openSync, write, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { MESSAGE } from "./bare-chain.ts";

const PAGE = Buffer.alloc(4_096, 7);
/** About the size of the answer to a create. */
const ANSWER_BYTES = 60;
/**
 * Length of FILE. Written in advance, so that an overwrite needs no journal entry of the file
 * system.
 */
const FILE_BYTES = 8 * 1024 * 1024;

const [path = "", ...ports] = process.argv.slice(2);
const file = opened(path);
/** Messages that each process has on its disk: this process first, then its followers. */
const written = [0, ...ports.map(() => 0)];
const majority = (written.length >> 1) + 1;
let position = 0;
let answeredCount = 0;
let asker: Socket | null = null;
const followers = ports.map((port, index) => {
  const socket = noDelay(connect(Number(port), "127.0.0.1"));
  return socket.on("data", (bytes) => onWritten(index + 1, bytes.length / ANSWER_BYTES));
});

const server = createServer((socket) => {
  asker = noDelay(socket).on("data", (bytes) => {
    // Several messages may arrive in one read if this process was slow.
    const count = bytes.length / MESSAGE.length;
    for (const follower of followers) follower.write(MESSAGE);
    write(file, PAGE, 0, PAGE.length, position, (error) => {
      if (error !== null) throw error;
      onWritten(0, count);
    });
    position = (position + PAGE.length) % FILE_BYTES;
  });
});
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
process.on("disconnect", () => process.exit());

function onWritten(processIndex: number, count: number): void {
  written[processIndex] = (written[processIndex] ?? 0) + count;
  const reached = [...written].sort((left, right) => right - left)[majority - 1] ?? 0;
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
