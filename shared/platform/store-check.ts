import { assert } from "../base/assert.ts";
import { KEY_BYTES_MAX, type StoreChange } from "../ports/ordered-store.ts";

const VALUE_BYTES_MAX = 8 * 1024 * 1024;
/**
 * A name begins with a letter or a digit, so it is never ".", ".." or the name of a hidden file.
 */
const STORE_NAME = /^[a-z0-9][a-z0-9._-]{0,99}$/;

/** Asserts the bounds of the OrderedStore port for a batch, before it is applied. */
export function checkChanges(changes: readonly StoreChange[]): void {
  for (const { key, value } of changes) {
    assert(key.length > 0, "a key is not empty");
    assert(key.length <= KEY_BYTES_MAX, "a key has at most KEY_BYTES_MAX bytes");
    assert(value === null || value.length <= VALUE_BYTES_MAX, "a value has at most 8 MiB");
  }
}

/** Asserts that a store has a valid name. */
export function checkStoreName(name: string): void {
  assert(STORE_NAME.test(name), `the name of a store is valid: ${JSON.stringify(name)}`);
}
