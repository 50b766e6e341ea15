import { AshlarError } from "../../shared/base/errors.ts";
import { displayName } from "../../shared/base/path.ts";
import { EXIT_STATUS, exitStatusOf } from "./exit-status.ts";
import { hasWildcards } from "./patterns/pattern.ts";

/**
 * The targets that one command has made or is making. Two sources of one command must not have the
 * same target: the second would replace the first, and one file of two would be lost.
 *
 * `mv`, `cp`, `put` and `get` use it the same way: `claim` before a source is moved or copied to its
 * target, in the order of the sources, and `release` if that failed or was skipped. It holds with
 * --force, --no-clobber and --resume, too: these concern targets from before the command.
 *
 * The paths of one tree differ, so nothing is kept for a command with one source. Otherwise a claim
 * takes about 100 bytes of memory more than its path.
 */
export class TargetClaims {
  readonly #isNeeded: boolean;
  /** Paths that are claimed for one source alone, one UTF-16 code unit for each byte. */
  readonly #own = new Set<string>();
  /** Directories that trees of several sources share. */
  readonly #shared = new Set<string>();

  /** @param sources the arguments of the command. A pattern can be several sources. */
  constructor(sources: readonly string[]) {
    this.#isNeeded = sources.length > 1 || sources.some(hasWildcards);
  }

  /**
   * Claims the target of a file, or of anything that is moved.
   *
   * @param target the path in the cluster or on this machine, in one form for the whole command
   * @param source the path that the error names
   * @throws {AshlarError} ALREADY_EXISTS if another source has this target
   */
  claim(target: Uint8Array, source: Uint8Array): void {
    if (!this.#isNeeded) return;
    const key = keyOf(target);
    if (this.#own.has(key) || this.#shared.has(key)) throw claimed(target, source);
    this.#own.add(key);
  }

  /**
   * Claims the target of a directory into which several trees can be merged.
   *
   * @throws {AshlarError} ALREADY_EXISTS if the target belongs to another source alone
   */
  share(target: Uint8Array, source: Uint8Array): void {
    if (!this.#isNeeded) return;
    const key = keyOf(target);
    if (this.#own.has(key)) throw claimed(target, source);
    this.#shared.add(key);
  }

  /** Ends a claim of `claim`: the source was not moved or copied. */
  release(target: Uint8Array): void {
    this.#own.delete(keyOf(target));
  }

  /**
   * Claims a target for the time of `make`. The claim stays if `make` resolves to true, and if its
   * outcome is not known.
   */
  async during(
    { target, source }: { readonly target: Uint8Array; readonly source: Uint8Array },
    make: () => Promise<boolean>,
  ): Promise<void> {
    this.claim(target, source);
    try {
      if (!(await make())) this.release(target);
    } catch (error) {
      if (exitStatusOf(error) !== EXIT_STATUS.unknownOutcome) this.release(target);
      throw error;
    }
  }
}

const keyOf = (path: Uint8Array): string => Buffer.from(path).toString("latin1");

function claimed(target: Uint8Array, source: Uint8Array): AshlarError {
  return new AshlarError(
    "ALREADY_EXISTS",
    `Will not overwrite just-created ${displayName(target)} with ${displayName(source)}`,
    { hint: "Use one command for each source, or targets of different names" },
  );
}
