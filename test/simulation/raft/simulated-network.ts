import { decodeMessages, encodeMessage } from "../../../master/raft/message-encoding.ts";
import type { PeerMessage } from "../../../master/raft/messages.ts";
import type { MemberId } from "../../../shared/base/ids.ts";
import type { SeededRandom } from "../../support/seeded-random.ts";
import type { Faults } from "./faults.ts";

interface InFlight {
  readonly dueTick: number;
  /** As it stands on the wire: what is delivered went through the codec. */
  readonly bytes: Uint8Array;
}

/** Loses, delays, repeats and reorders, and lets nothing through where it is cut, one way or both. */
export class SimulatedNetwork {
  readonly #random: SeededRandom;
  #inFlight: InFlight[] = [];
  /** Directed: "from>to". */
  readonly #cuts = new Set<string>();
  lostCount = 0;
  deliveredCount = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** @returns false if the message is lost, which a sender may or may not notice. */
  send(message: PeerMessage, tick: number, faults: Faults): boolean {
    const isLost = this.#random.fraction() < faults.lossRate;
    if (isLost || this.#cuts.has(`${message.from}>${message.to}`)) {
      this.lostCount += 1;
      return false;
    }
    const bytes = encodeMessage(message);
    const copyCount = this.#random.fraction() < faults.duplicateRate ? 2 : 1;
    for (let copy = 0; copy < copyCount; copy += 1) {
      const isStray = this.#random.fraction() < faults.longDelayRate;
      const delayTicks = 1 + this.#random.integer(faults.delayTicksMax * (isStray ? 10 : 1));
      this.#inFlight.push({ dueTick: tick + delayTicks, bytes });
    }
    return true;
  }

  /** What arrives now. What is cut meanwhile still arrives: it was on its way. */
  takeDue(tick: number): readonly PeerMessage[] {
    const due = this.#inFlight.filter((item) => item.dueTick <= tick);
    if (due.length === 0) return [];
    this.#inFlight = this.#inFlight.filter((item) => item.dueTick > tick);
    this.deliveredCount += due.length;
    return due.flatMap((item) => decodeMessages(item.bytes));
  }

  /** Cuts `members` in two: both ways, or so that one side only hears. */
  partition(members: readonly MemberId[]): void {
    const side = new Set(members.filter(() => this.#random.fraction() < 0.5));
    const isOneWay = this.#random.fraction() < 0.4;
    for (const from of members) {
      for (const to of members) {
        if (side.has(from) === side.has(to)) continue;
        if (isOneWay && side.has(from)) continue;
        this.#cuts.add(`${from}>${to}`);
      }
    }
  }

  heal(): void {
    this.#cuts.clear();
  }
}
