/** The only source of chance. */
export interface Random {
  /** A float in [0, 1). For jitter and timeouts, never for secrets. */
  fraction(): number;
  /** `count` unpredictable bytes: ids, keys. */
  bytes(count: number): Uint8Array;
}
