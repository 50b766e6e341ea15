/** The only source of randomness. */
export interface Random {
  /** Returns a float in [0, 1). For jitter and timeouts, never for secrets. */
  fraction(): number;
  /** Returns `count` unpredictable bytes, for ids and keys. */
  bytes(count: number): Uint8Array;
}
