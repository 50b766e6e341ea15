/**
 * Adds the frames of the caller to the stacks of errors. An error of the cluster is created when a
 * response arrives, so its own stack shows the internals of the library only.
 *
 * The frames are those of the functions that await the call, directly or through other async
 * functions. They cost nothing unless the call fails.
 */

/** Methods and properties whose value has methods of its own that can fail. */
const OWNERS: ReadonlySet<string | symbol> = new Set(["open", "masters", "watch"]);

type Method = (...parameters: unknown[]) => unknown;

/** Returns null, or the result of a call that is not made. See `refuseCall`. */
type Refuse = (method: string | symbol, given: readonly unknown[]) => Promise<never> | null;

/**
 * Returns `target` with methods that add the frames of their callers to the errors they throw. `refuse` is
 * called before each of them.
 */
export function withCallerFrames<Target extends object>(
  target: Target,
  refuse: Refuse = () => null,
): Target {
  const methods = new Map<string | symbol, Method>();
  return new Proxy(target, {
    get: (_, key) => {
      const known = methods.get(key);
      if (known !== undefined) return known;
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return withOwner(key, value);
      const method = traced(
        key,
        (...parameters) => refuse(key, parameters) ?? Reflect.apply(value, target, parameters),
      );
      methods.set(key, method);
      return method;
    },
  });
}

function traced(key: string | symbol, method: Method): Method {
  return (...parameters) => {
    const result = method(...parameters);
    if (result instanceof Promise) return tracedResult(key, result);
    return isGenerator(result) ? tracedItems(result) : withOwner(key, result);
  };
}

/** Streams are async iterables too, but have no `next`. */
function isGenerator(value: unknown): value is AsyncGenerator<unknown, void, void> {
  return typeof value === "object" && value !== null && "next" in value;
}

const withOwner = (key: string | symbol, value: unknown): unknown =>
  OWNERS.has(key) && typeof value === "object" && value !== null ? withCallerFrames(value) : value;

async function tracedResult(key: string | symbol, result: Promise<unknown>): Promise<unknown> {
  try {
    return withOwner(key, await result);
  } catch (error) {
    throw addCallerFrames(error);
  }
}

async function* tracedItems(items: AsyncIterable<unknown>): AsyncGenerator<unknown, void, void> {
  try {
    yield* items;
  } catch (error) {
    throw addCallerFrames(error);
  }
}

/** Errors that have the frames of a caller. One error may reach several callers. */
const addedTo = new WeakSet<Error>();

/** Adds the frames of the async functions that await the current one. Returns `error`. */
export function addCallerFrames(error: unknown): unknown {
  if (!(error instanceof Error) || addedTo.has(error)) return error;
  addedTo.add(error);
  const here: { stack?: string } = {};
  Error.captureStackTrace(here, addCallerFrames);
  const frames = (here.stack ?? "")
    .split("\n")
    .slice(1)
    .filter((frame) => !/ (?:tracedResult|tracedItems)\b/.test(frame));
  error.stack = [error.stack ?? String(error), ...frames].join("\n");
  return error;
}
