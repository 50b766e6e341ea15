import { present } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { ConnectOptions, Link, Listener, Network } from "../../shared/ports/network.ts";
import { MemoryLink, type Route } from "./memory-link.ts";

/** Options of `MemoryNetwork`. */
export interface MemoryNetworkOptions {
  readonly clock: Clock;
  /** Returns the delay of bytes between two hosts, for every write. Default 0. */
  readonly delayMs?: (from: string, to: string) => number;
  /** Size of the send buffer of a link. A write waits while the buffer is full. Default 1 MiB. */
  readonly bufferBytes?: number;
  /** Called before the process of `host` runs because bytes or a link from `from` have arrived. */
  readonly onReceive?: (host: string, from: string) => void;
}

/** One process on the network. */
interface NetworkProcess {
  readonly host: string;
  readonly clock: Clock;
}

interface Listening extends NetworkProcess {
  readonly onLink: (link: Link) => void;
}

/**
 * A network of hosts in one process, which simulates faults. It is deterministic if its clock is
 * deterministic. A link behaves like TCP: bytes are ordered, a full buffer blocks the writer, and
 * no bytes arrive while the network is cut.
 */
export class MemoryNetwork {
  readonly #options: MemoryNetworkOptions;
  readonly #listening = new Map<string, Listening>();
  /** Pairs of hosts, "from>to", between which no bytes pass. */
  readonly #cuts = new Set<string>();
  readonly #links = new Set<MemoryLink>();
  /** Link ends whose peer lost power. They are reset once the host of the peer has booted. */
  readonly #halfOpen = new Set<MemoryLink>();
  readonly #frozen = new Set<string>();
  #lastPort = 40_000;

  constructor(options: MemoryNetworkOptions) {
    this.#options = options;
  }

  /**
   * Returns the network for a process of `host`. Addresses are "<host>:<port>".
   *
   * @param clock the clock of the process; default: the clock of the network
   */
  host(host: string, clock = this.#options.clock): Network {
    const process = { host, clock };
    return {
      connect: (address, options) => this.#connect(process, address, options),
      listen: (address, onLink) => this.#listen(address, { ...process, onLink }),
    };
  }

  /**
   * Cuts the network in one direction. Links stay open, and bytes wait, as TCP retransmits them.
   */
  cutOneWay(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
  }

  /** Cuts the network in both directions. */
  cut(one: string, other: string): void {
    this.cutOneWay(one, other);
    this.cutOneWay(other, one);
  }

  /** Ends all cuts and delivers the waiting bytes. */
  heal(): void {
    this.#cuts.clear();
    for (const link of this.#links) link.deliver();
  }

  /** Ends the cuts between two hosts and delivers the waiting bytes. */
  healBetween(one: string, other: string): void {
    this.#cuts.delete(`${one}>${other}`);
    this.#cuts.delete(`${other}>${one}`);
    for (const link of this.#links) if (link.isBetween(one, other)) link.deliver();
  }

  /** Resets the links between two hosts at both ends. */
  reset(one: string, other: string): void {
    for (const link of [...this.#links]) {
      if (link.isBetween(one, other)) link.reset(new Error("ECONNRESET"));
    }
  }

  /** Simulates a power failure of a host: its links end without a FIN or RST to the peers. */
  crash(host: string): void {
    for (const link of this.#end(host)) this.#halfOpen.add(link.peer);
  }

  /** Kills the process of a host. The operating system of the host resets the connections. */
  kill(host: string): void {
    for (const link of this.#end(host)) this.#resetSoon(link.peer, host);
  }

  /**
   * Boots a host after a power failure. The host resets the connections from before the failure.
   */
  boot(host: string): void {
    for (const link of [...this.#halfOpen]) {
      if (!this.#links.has(link)) this.#halfOpen.delete(link);
      else if (link.peer.host === host) {
        this.#halfOpen.delete(link);
        this.#resetSoon(link, host);
      }
    }
  }

  /**
   * Pauses the process of a host. The operating system accepts bytes until the buffers are full.
   */
  freeze(host: string): void {
    this.#frozen.add(host);
  }

  /** Resumes the process of a host. */
  thaw(host: string): void {
    this.#frozen.delete(host);
    for (const link of [...this.#links]) {
      if (link.host !== host) continue;
      link.onThaw();
      link.peer.onThaw();
    }
  }

  /** Removes the listeners and links of a host's process. Returns the removed link ends. */
  #end(host: string): MemoryLink[] {
    this.#frozen.delete(host);
    for (const [address, listening] of [...this.#listening]) {
      if (listening.host === host) this.#listening.delete(address);
    }
    const links = [...this.#links].filter((link) => link.host === host);
    for (const link of links) link.failSilently();
    return links;
  }

  #resetSoon(link: MemoryLink, from: string): void {
    this.#options.clock.after(this.#delayMs(from, link.host), () => {
      if (!this.#isCut(from, link.host)) link.reset(new Error("ECONNRESET"));
    });
  }

  /** Number of open link ends. */
  get openCount(): number {
    return this.#links.size;
  }

  #listen(address: string, listening: Listening): Promise<Listener> {
    const [name, port] = address.split(":");
    if (port === "0") this.#lastPort += 1;
    const boundAddress = port === "0" ? `${name}:${this.#lastPort}` : address;
    if (this.#listening.has(boundAddress)) {
      const error = new AshlarError(
        "ADDRESS_IN_USE",
        `Cannot listen on ${boundAddress}: the address is in use`,
      );
      return Promise.reject(error);
    }
    this.#listening.set(boundAddress, listening);
    const close = async (): Promise<void> => {
      if (this.#listening.get(boundAddress) === listening) this.#listening.delete(boundAddress);
    };
    return Promise.resolve({ address: boundAddress, close });
  }

  async #connect(process: NetworkProcess, address: string, options: ConnectOptions): Promise<Link> {
    const { host: from, clock } = process;
    const to = address.split(":")[0] ?? address;
    const isCut = this.#isCut(from, to) || this.#isCut(to, from);
    try {
      const waitMs = isCut ? options.timeoutMs : this.#delayMs(from, to) + this.#delayMs(to, from);
      await clock.sleep(Math.min(waitMs, options.timeoutMs), options.signal);
    } catch (cause) {
      const text = `Cannot connect to ${address}: the caller cancelled`;
      throw new AshlarError("CANCELLED", text, { cause });
    }
    const listening = this.#listening.get(address);
    if (isCut || listening === undefined) {
      const reason = isCut ? `no answer within ${options.timeoutMs} ms` : "connection refused";
      const text = `Cannot connect to ${address}: ${reason}`;
      throw new AshlarError("UNAVAILABLE", text, { details: { address } });
    }
    this.#lastPort += 1;
    const near = this.#makeLink(process, { peerHost: listening.host, peerAddress: address });
    const peerAddress = `${from}:${this.#lastPort}`;
    const far = this.#makeLink(listening, { peerHost: from, peerAddress });
    near.setPeer(far);
    far.setPeer(near);
    if (this.#frozen.has(to)) listening.clock.after(0, () => listening.onLink(far));
    else {
      this.#options.onReceive?.(to, from);
      listening.onLink(far);
    }
    return near;
  }

  #makeLink(process: NetworkProcess, peer: Pick<Route, "peerHost" | "peerAddress">): MemoryLink {
    const { clock, bufferBytes = 1024 * 1024 } = this.#options;
    const ends = { host: process.host, ...peer };
    const link: MemoryLink = new MemoryLink({
      ...ends,
      clock,
      processClock: process.clock,
      isFrozen: () => this.#frozen.has(ends.host),
      onReceive: () => this.#options.onReceive?.(ends.host, ends.peerHost),
      bufferBytes,
      delayMs: () => this.#delayMs(ends.host, ends.peerHost),
      isCut: () => this.#isCut(ends.host, ends.peerHost),
      onClosed: () => this.#links.delete(present(link, "a closed link was created")),
    });
    this.#links.add(link);
    return link;
  }

  #delayMs(from: string, to: string): number {
    return this.#options.delayMs?.(from, to) ?? 0;
  }

  #isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from}>${to}`);
  }
}
