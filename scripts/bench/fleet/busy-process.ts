/*
 * A process that keeps a core busy for as long as its parent lives, in turns of the event loop: what any
 * other program costs the masters of the same machine.
 */
const TURN_MS = 5;

function work(): void {
  const endMs = performance.now() + TURN_MS;
  while (performance.now() < endMs) {
    // Uses the processor.
  }
  setImmediate(work);
}

process.on("disconnect", () => process.exit());
work();
