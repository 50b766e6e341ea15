import { monitorEventLoopDelay } from "node:perf_hooks";

/*
 * A process that does nothing but watch its event loop: how late its timers are shows how long the
 * machine keeps a ready process waiting. Answers each message with the longest gap since the one
 * before, in seconds.
 */
const delays = monitorEventLoopDelay({ resolution: 10 });
delays.enable();
process.on("message", () => {
  process.send?.(delays.max / 1e9);
  delays.reset();
});
process.on("disconnect", () => process.exit());
