import { AshlarError } from "../base/errors.ts";
import type { Hasher } from "../ports/hasher.ts";
import { loadNativeHasher } from "./native-hasher.ts";
import { loadWasmHasher } from "./wasm-hasher.ts";

/** The hasher that runs, and which one it is: for the first line of the log and for `doctor`. */
export interface ChosenHasher {
  readonly hasher: Hasher;
  readonly kind: "native" | "wasm";
}

/**
 * The fastest BLAKE3 that this machine can run: native where its binary loads, WebAssembly elsewhere.
 * ASHLAR_HASHER=wasm takes WebAssembly, ASHLAR_HASHER=native nothing but native.
 *
 * @throws {AshlarError} UNSUPPORTED if native is asked for and not there; INVALID_ARGUMENT for
 *   another value.
 */
export function createHasher(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): ChosenHasher {
  const wanted = environment["ASHLAR_HASHER"] ?? "";
  if (wanted !== "" && wanted !== "native" && wanted !== "wasm") {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use ASHLAR_HASHER: expected "native" or "wasm": got "${wanted}"`,
    );
  }
  const native = wanted === "wasm" ? null : loadNativeHasher();
  if (native !== null) return { hasher: native, kind: "native" };
  if (wanted === "native") {
    throw new AshlarError(
      "UNSUPPORTED",
      "Cannot load the native BLAKE3: no binary fits this machine",
      {
        hint: "Unset ASHLAR_HASHER to use WebAssembly",
      },
    );
  }
  return { hasher: loadWasmHasher(), kind: "wasm" };
}
