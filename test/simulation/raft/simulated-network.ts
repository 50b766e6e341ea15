import { decodeMessages, encodeMessage } from "../../../master/raft/message-encoding.ts";
import type { PeerMessage } from "../../../master/raft/messages.ts";
import type { MemberId } from "../../../shared/base/ids.ts";
import type { SeededRandom } from "../../support/seeded-random.ts";
import type { Faults } from "./faults.ts";

interface InFlight {
  readonly dueTick: number;
  /** The encoded message: every delivered message is encoded and decoded. */
  readonly bytes: Uint8Array;
}

/** Loses, delays, duplicates and reorders messages; partitions block one or both directions. */
export class SimulatedNetwork {
  readonly #random: SeededRandom;
  #inFlight: InFlight[] = [];
  /** Blocked directions: "from>to". */
  readonly #blocked = new Set<string>();
  lostCount = 0;
  deliveredCount = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** Sends a message. @returns false if it is lost, which the sender may or may not detect. */
  send(message: PeerMessage, tick: number, faults: Faults): boolean {
    const isLost = this.#random.fraction() < faults.lossRate;
    if (isLost || this.#blocked.has(`${message.from}>${message.to}`)) {
      this.lostCount += 1;
      return false;
    }
    const bytes = encodeMessage(message);
    const copyCount = this.#random.fraction() < faults.duplicateRate ? 2 : 1;
    for (let copy = 0; copy < copyCount; copy += 1) {
      const hasLongDelay = this.#random.fraction() < faults.longDelayRate;
      const delayTicks = 1 + this.#random.integer(faults.delayTicksMax * (hasLongDelay ? 10 : 1));
      this.#inFlight.push({ dueTick: tick + delayTicks, bytes });
    }
    return true;
  }

  /** Returns the messages that arrive at `tick`. A new partition does not stop sent messages. */
  takeDue(tick: number): readonly PeerMessage[] {
    const due = this.#inFlight.filter((item) => item.dueTick <= tick);
    if (due.length === 0) return [];
    this.#inFlight = this.#inFlight.filter((item) => item.dueTick > tick);
    this.deliveredCount += due.length;
    return due.flatMap((item) => decodeMessages(item.bytes));
  }

  /** Splits `members` into two sides. Both directions are blocked, or only one. */
  partition(members: readonly MemberId[]): void {
    const side = new Set(members.filter(() => this.#random.fraction() < 0.5));
    const isOneWay = this.#random.fraction() < 0.4;
    for (const from of members) {
      for (const to of members) {
        if (side.has(from) === side.has(to)) continue;
        if (isOneWay && side.has(from)) continue;
        this.#blocked.add(`${from}>${to}`);
      }
    }
  }

  /** Ends all partitions. */
  heal(): void {
    this.#blocked.clear();
  }
}
