import { createServer } from "node:net";
import { ThreadTimes } from "./thread-times.ts";
import { TURN_SOCKETS, type TurnReport, turnSocket } from "./turn-sockets.ts";

/*
 * Measures the turns of the event loop of a master, into whose process the bench loads this file: the
 * gaps between two runs of a timer. Sends the longest gaps since the last connection to each one that
 * connects to its socket.
 */
const INTERVAL_MS = 10;

const directory = process.env[TURN_SOCKETS];
if (directory !== undefined && process.argv[2] === "master") monitor(directory);

function monitor(socketDirectory: string): void {
  const times = new ThreadTimes();
  let longest: TurnReport = { wallMs: 0, cpuMs: 0 };
  const timer = setInterval(() => {
    const { wallMs, cpuMs } = times.lap();
    if (wallMs <= longest.wallMs && cpuMs <= longest.cpuMs) return;
    longest = {
      wallMs: Math.max(longest.wallMs, wallMs),
      cpuMs: Math.max(longest.cpuMs, cpuMs),
    };
  }, INTERVAL_MS);
  timer.unref();
  const server = createServer((socket) => {
    socket.on("error", () => {}); // The bench has ended.
    socket.end(JSON.stringify(longest));
    longest = { wallMs: 0, cpuMs: 0 };
  });
  server.listen(turnSocket(socketDirectory, process.pid)).unref();
}
