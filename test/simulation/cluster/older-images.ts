import { present } from "../../../shared/base/assert.ts";
import { RepeatedFaults } from "./background-faults.ts";
import type { CopyChecks } from "./copy-checks.ts";
import type { SimulatedChunkserver } from "./simulated-servers.ts";
import type { SimulationEnvironment } from "./simulation-environment.ts";

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
export class OlderImages extends RepeatedFaults {
  readonly counts = { "disk set back to an older image": 0 };
  readonly #server: SimulatedChunkserver;
  readonly #copies: CopyChecks;

  constructor(environment: SimulationEnvironment, { chunkservers, host, copies }: OlderImagesDeps) {
    super(environment, { name: "older images", intervalMs: INTERVAL_MS });
    const server = chunkservers.find((each) => each.host === host);
    this.#server = present(server, "the host has a chunkserver");
    this.#copies = copies;
  }

  protected async inject(): Promise<void> {
    // An image of a disk without an identity would be a new server.
    if (!this.#server.isUp) return;
    const image = this.#server.takeImage();
    await this.environment.clock.sleep(this.random.logUniform(AGE_MS.min, AGE_MS.max));
    if (this.isActive) this.#setBack(image);
  }

  #setBack(image: ReturnType<SimulatedChunkserver["takeImage"]>): void {
    const server = this.#server;
    this.counts["disk set back to an older image"] += 1;
    server.cutPower();
    const goneCount = this.#copies.noteSetBack(server, image);
    this.environment.trace.note(
      server.host,
      `its disk is set back to an older image: ${goneCount} copies are gone`,
    );
    server.setBack(image);
  }
}
