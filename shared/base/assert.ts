/**
 * Stops on a bug of ours. Asserts stay on in production: a process that is wrong about its own
 * state must stop rather than spread the error; its peers repair what it held.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** A bug in Ashlar. Never caught to be handled: `main.ts` logs it and exits. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Proves to the compiler that a union is covered, and stops if data from outside got past a parser. */
export function unreachable(value: never): never {
  throw new AssertionError(`Unreachable: ${JSON.stringify(value)}`);
}

/** `value`, which the caller knows to be there. `what` says why, in the words of an invariant. */
export function present<T>(value: T | undefined | null, what: string): T {
  assert(value !== undefined && value !== null, what);
  return value;
}
