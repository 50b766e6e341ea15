import type { MemberDeps } from "./member-components.ts";

/**
 * Starts the first election of a new group. One of the founders, the same for all, need not wait for
 * its election timeout; if there is a leader already, the others refuse.
 */
export class FirstCampaign {
  readonly #deps: Pick<MemberDeps, "founding" | "founders" | "node" | "own">;
  readonly #isRunning: () => boolean;
  readonly #wake: () => void;
  /** Whether this member began empty and takes part, and is the first of its founders. */
  #isFirstFounder = false;

  constructor(
    deps: Pick<MemberDeps, "founding" | "founders" | "node" | "own">,
    options: { readonly isRunning: () => boolean; readonly wake: () => void },
  ) {
    this.#deps = deps;
    this.#isRunning = options.isRunning;
    this.#wake = options.wake;
  }

  /** Waits until this empty founder takes part, and then starts at once. */
  async start(): Promise<void> {
    const { founding, founders, own } = this.#deps;
    founding.start();
    await founding.opened;
    this.#isFirstFounder = founders.voters[0] === own.memberId;
    this.repeat();
  }

  /** Campaigns again, when the link to or from a founder is connected. */
  repeat(): void {
    const { node } = this.#deps;
    if (!this.#isFirstFounder || !this.#isRunning() || node.status().term > 0) return;
    node.campaign();
    this.#wake();
  }
}
