/**
 * Throws if `condition` is false, which is a bug in Ashlar. Asserts are enabled in production: a
 * process with an invalid state must stop before it stores or sends wrong data. Its peers repair
 * the data that it held.
 *
 * @param message the invariant, as a plain statement
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** A bug in Ashlar. No caller handles it: `main.ts` logs it and exits. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/**
 * Makes the compiler check that a `switch` covers a union. At run time it throws: a parser has
 * accepted an unknown variant.
 */
export function unreachable(value: never): never {
  throw new AssertionError(`Unreachable: ${JSON.stringify(value)}`);
}

/**
 * Returns `value`, which must not be null or undefined. `what` is the invariant that ensures it.
 */
export function present<T>(value: T | undefined | null, what: string): T {
  assert(value !== undefined && value !== null, what);
  return value;
}
