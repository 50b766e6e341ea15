import { present } from "../../../shared/base/assert.ts";
import type { CopyChecks } from "./copy-checks.ts";
import type { SimulatedChunkserver } from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";
import type { SimulationRandom } from "./simulation-random.ts";

/** Time from the return of a disk to the next image of it. */
const INTERVAL_MS = { busy: { min: 500, max: 10_000 }, quiet: { min: 10_000, max: 60_000 } };
/** Age of an image when the disk is set back to it. */
const AGE_MS = { min: 500, max: 20_000 };

/** The processes that this fault needs. */
export interface OlderImagesDeps {
  readonly chunkservers: readonly SimulatedChunkserver[];
  /** The server with bit rot: the other servers have good copies of all its chunks. */
  readonly host: string;
  readonly copies: CopyChecks;
}

/**
 * The disk of a chunkserver is set back to an older image of itself: the chunks that it has sealed since are
 * gone, without a trace on the disk, and others that it has deleted or lost since are there again.
 */
export class OlderImages {
  readonly counts = { "disk set back to an older image": 0 };
  readonly #environment: SimulationEnvironment;
  readonly #server: SimulatedChunkserver;
  readonly #copies: CopyChecks;
  readonly #random: SimulationRandom;
  #isActive = false;

  constructor(environment: SimulationEnvironment, { chunkservers, host, copies }: OlderImagesDeps) {
    this.#environment = environment;
    const server = chunkservers.find((each) => each.host === host);
    this.#server = present(server, "the host has a chunkserver");
    this.#copies = copies;
    this.#random = environment.randomFor("older images");
  }

  /** Begins to inject faults. */
  start(): void {
    this.#isActive = true;
    this.#run().catch((error) => this.#environment.reportViolation(error));
  }

  /** Ends the injection. */
  end(): void {
    this.#isActive = false;
  }

  async #run(): Promise<void> {
    const { clock, loadPhases } = this.#environment;
    while (this.#isActive) {
      await loadPhases.pause(clock, this.#random, INTERVAL_MS);
      // An image of a disk without an identity would be a new server.
      if (!this.#server.isUp) continue;
      const image = this.#server.takeImage();
      await clock.sleep(this.#random.logUniform(AGE_MS.min, AGE_MS.max));
      if (this.#isActive) this.#setBack(image);
    }
  }

  #setBack(image: ReturnType<SimulatedChunkserver["takeImage"]>): void {
    const server = this.#server;
    this.counts["disk set back to an older image"] += 1;
    server.cutPower();
    const goneCount = this.#copies.noteSetBack(server, image);
    this.#environment.trace.note(
      server.host,
      `its disk is set back to an older image: ${goneCount} copies are gone`,
    );
    server.setBack(image);
  }
}
