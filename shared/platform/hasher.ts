import { AshlarError } from "../base/errors.ts";
import type { Hasher } from "../ports/hasher.ts";
import { loadNativeHasher } from "./native-hasher.ts";
import { loadWasmHasher } from "./wasm-hasher.ts";

/** The hasher in use, and its kind, which the first log line and `ashlar doctor` show. */
export interface ChosenHasher {
  readonly hasher: Hasher;
  readonly kind: "native" | "wasm";
}

/**
 * Returns the fastest available BLAKE3 implementation: native if its binary loads, else
 * WebAssembly. The environment variable ASHLAR_HASHER ("native" or "wasm") selects one of them.
 *
 * @throws {AshlarError} UNSUPPORTED if native is required and does not load; INVALID_ARGUMENT for
 *   another value of the variable
 */
export function createHasher(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): ChosenHasher {
  const wanted = environment["ASHLAR_HASHER"] ?? "";
  if (wanted !== "" && wanted !== "native" && wanted !== "wasm") {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use ASHLAR_HASHER: expected "native" or "wasm": current value is "${wanted}"`,
    );
  }
  const native = wanted === "wasm" ? null : loadNativeHasher();
  if (native !== null) return { hasher: native, kind: "native" };
  if (wanted === "native") {
    throw new AshlarError(
      "UNSUPPORTED",
      "Cannot load the native BLAKE3: no binary for this platform",
      {
        hint: "Unset ASHLAR_HASHER to use WebAssembly",
      },
    );
  }
  return { hasher: loadWasmHasher(), kind: "wasm" };
}
