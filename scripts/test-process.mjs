/**
 * Prepares a test process. `test.mjs` loads this module before the test runner of Node.
 *
 * The runner tracks every promise with an async hook, to find the suite of a new test and the test
 * that an uncaught error belongs to. The hook takes up to a quarter of the CPU time of tests with
 * many promises. It is disabled when all tests are known. After that, an uncaught error cannot fail
 * its test: it ends the process instead, with an exit code of 1.
 */
import asyncHooks from "node:async_hooks";

const { createHook } = asyncHooks;
/** Hooks of the test runner: one, or none if the runner of this version of Node has no hook. */
const runnerHooks = [];

asyncHooks.createHook = (callbacks) => {
  const hook = createHook(callbacks);
  if (new Error("stack").stack?.includes("node:internal/test_runner/")) runnerHooks.push(hook);
  return hook;
};

/** Listeners of an event in a process without other handlers: of the runner and of this module. */
const LISTENERS_MIN = 2;

/** Disables the hook of the test runner. Called when the modules of all tests are evaluated. */
export function stopTracking() {
  for (const hook of runnerHooks) hook.disable();
  if (runnerHooks.length === 0) return;
  for (const event of ["uncaughtException", "unhandledRejection"]) {
    process.on(event, (error) => {
      if (process.listenerCount(event) > LISTENERS_MIN) return; // A test has its own handler.
      console.error("Uncaught error in a test process:", error);
      process.exit(1);
    });
  }
}
