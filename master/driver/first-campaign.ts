import type { MemberDeps } from "./member-components.ts";

/**
 * Starts the first election of a new group. One of the founders, the same for all, need not wait for
 * its election timeout; if there is a leader already, the others refuse.
 */
export class FirstCampaign {
  readonly #deps: Pick<MemberDeps, "founding" | "node">;
  readonly #isRunning: () => boolean;
  readonly #wake: () => void;
  /** Whether this member began unused and takes part, and is the first of its founders. */
  #isFirstFounder = false;

  constructor(
    deps: Pick<MemberDeps, "founding" | "node">,
    options: { readonly isRunning: () => boolean; readonly wake: () => void },
  ) {
    this.#deps = deps;
    this.#isRunning = options.isRunning;
    this.#wake = options.wake;
  }

  /** Waits until this unused founder takes part, and then starts at once. */
  async start(): Promise<void> {
    const { founding } = this.#deps;
    founding.start();
    await founding.opened;
    this.#isFirstFounder = founding.isFirst;
    this.repeat();
  }

  /** Campaigns again, when the link to or from a founder is connected. */
  repeat(): void {
    const { founding, node } = this.#deps;
    const hasBegun = node.status().term > founding.term;
    if (!this.#isFirstFounder || !this.#isRunning() || hasBegun) return;
    node.campaign();
    this.#wake();
  }
}
