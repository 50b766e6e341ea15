import * as v from "valibot";
import { countSchema } from "../../shared/protocol/schemas.ts";
import { readChecksummedJson, writeChecksummedJson } from "./checksummed-json.ts";
import type { IdentityDeps } from "./identity.ts";

const PATH = "newest-segment.json";
const schema = v.strictObject({ format: v.literal(1), sequence: countSchema });

/** Dependencies of `NewestSegment.open`. */
export interface NewestSegmentDeps extends Pick<IdentityDeps, "disk" | "hasher"> {
  /** Whether the first segment was durable once. 0.1.0 wrote a log and no record of its newest segment. */
  readonly wasSegmentDurable: boolean;
}

/**
 * The durable record of the newest log segment. Without it, a log whose last segments are missing looks like
 * an older and complete log.
 *
 * Invariant: no record is written to a segment before its sequence is durable here. So a log that ends
 * before this sequence has lost records, and one that ends after it has none in its last segment.
 */
export class NewestSegment {
  readonly #deps: NewestSegmentDeps;
  #sequence: number;

  private constructor(deps: NewestSegmentDeps, sequence: number) {
    this.#deps = deps;
    this.#sequence = sequence;
  }

  /** @throws {AshlarError} LOG_CORRUPT if the file is damaged; VERSION_MISMATCH; DISK_FAILED */
  static async open(deps: NewestSegmentDeps): Promise<NewestSegment> {
    const found = await readChecksummedJson(deps, PATH, schema);
    return new NewestSegment(deps, found?.sequence ?? (deps.wasSegmentDurable ? 1 : 0));
  }

  /** Sequence of the newest segment that can have records. 0: there is none. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Resolves when `sequence` is durable. @throws {AshlarError} DISK_FAILED, NO_SPACE */
  async record(sequence: number): Promise<void> {
    if (sequence <= this.#sequence) return;
    await writeChecksummedJson(this.#deps, PATH, { format: 1, sequence });
    this.#sequence = sequence;
  }
}
