import { present } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { ConnectOptions, Link, Listener, Network } from "../../shared/ports/network.ts";
import { MemoryLink, type Route } from "./memory-link.ts";

export interface MemoryNetworkOptions {
  readonly clock: Clock;
  /** How long bytes are under way between two hosts; asked for every write. Default 0. */
  readonly delayMs?: (from: string, to: string) => number;
  /** What the system takes of a link's bytes before a write must wait. Default 1 MiB. */
  readonly bufferBytes?: number;
  /** Told of the host whose process is about to run because something reached it, and from whom. */
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
 * A network of hosts in one process: deterministic if its clock is, and with faults on demand. A
 * link behaves as TCP does: bytes in order, back-pressure, and silence when a cable is cut.
 */
export class MemoryNetwork {
  readonly #options: MemoryNetworkOptions;
  readonly #listening = new Map<string, Listening>();
  /** Pairs of hosts, "from>to", between which nothing passes. */
  readonly #cuts = new Set<string>();
  readonly #links = new Set<MemoryLink>();
  /** Ends whose peer lost power: they are told once its host is there again and they send to it. */
  readonly #widowed = new Set<MemoryLink>();
  readonly #frozen = new Set<string>();
  #lastPort = 40_000;

  constructor(options: MemoryNetworkOptions) {
    this.#options = options;
  }

  /**
   * The network as a process of `host` sees it. Addresses are "<host>:<port>".
   *
   * @param clock that process's own time, if it has one
   */
  host(host: string, clock = this.#options.clock): Network {
    const process = { host, clock };
    return {
      connect: (address, options) => this.#connect(process, address, options),
      listen: (address, onLink) => this.#listen(address, { ...process, onLink }),
    };
  }

  /** Nothing passes from one host to the other; nobody is told. Bytes wait, as TCP repeats them. */
  cutOneWay(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
  }

  cut(one: string, other: string): void {
    this.cutOneWay(one, other);
    this.cutOneWay(other, one);
  }

  /** Everything passes again, what has waited first. */
  heal(): void {
    this.#cuts.clear();
    for (const link of this.#links) link.deliver();
  }

  /** Between these two everything passes again, what has waited first. */
  mend(one: string, other: string): void {
    this.#cuts.delete(`${one}>${other}`);
    this.#cuts.delete(`${other}>${one}`);
    for (const link of this.#links) if (link.isBetween(one, other)) link.deliver();
  }

  /** The links between two hosts break, and both are told. */
  reset(one: string, other: string): void {
    for (const link of [...this.#links]) {
      if (link.isBetween(one, other)) link.breakOff(new Error("ECONNRESET"));
    }
  }

  /** The power of a host fails: it hears and says nothing more, and its peers are not told. */
  crash(host: string): void {
    for (const link of this.#end(host)) this.#widowed.add(link.peer);
  }

  /** The process of a host dies and its system lives: it resets the connections. */
  kill(host: string): void {
    for (const link of this.#end(host)) this.#resetSoon(link.peer, host);
  }

  /** A host that lost power runs again: it resets the connections that it knows nothing of. */
  boot(host: string): void {
    for (const link of [...this.#widowed]) {
      if (!this.#links.has(link)) this.#widowed.delete(link);
      else if (link.peer.host === host) {
        this.#widowed.delete(link);
        this.#resetSoon(link, host);
      }
    }
  }

  /** The process of a host stands still: its system takes bytes for it as far as buffers go. */
  freeze(host: string): void {
    this.#frozen.add(host);
  }

  thaw(host: string): void {
    this.#frozen.delete(host);
    for (const link of [...this.#links]) {
      if (link.host !== host) continue;
      link.wake();
      link.peer.wake();
    }
  }

  /** Takes everything of a host's process away. @returns its ends of links */
  #end(host: string): MemoryLink[] {
    this.#frozen.delete(host);
    for (const [address, listening] of [...this.#listening]) {
      if (listening.host === host) this.#listening.delete(address);
    }
    const links = [...this.#links].filter((link) => link.host === host);
    for (const link of links) link.vanish();
    return links;
  }

  #resetSoon(link: MemoryLink, from: string): void {
    this.#options.clock.after(this.#delayMs(from, link.host), () => {
      if (!this.#isCut(from, link.host)) link.breakOff(new Error("ECONNRESET"));
    });
  }

  /** Ends of links that are open. */
  get openCount(): number {
    return this.#links.size;
  }

  #listen(address: string, listening: Listening): Promise<Listener> {
    const [name, port] = address.split(":");
    if (port === "0") this.#lastPort += 1;
    const taken = port === "0" ? `${name}:${this.#lastPort}` : address;
    if (this.#listening.has(taken)) {
      const error = new AshlarError("ADDRESS_IN_USE", `Cannot listen on ${taken}: it is in use`);
      return Promise.reject(error);
    }
    this.#listening.set(taken, listening);
    const close = async (): Promise<void> => {
      if (this.#listening.get(taken) === listening) this.#listening.delete(taken);
    };
    return Promise.resolve({ address: taken, close });
  }

  async #connect(process: NetworkProcess, address: string, options: ConnectOptions): Promise<Link> {
    const { host: from, clock } = process;
    const to = address.split(":")[0] ?? address;
    const isCut = this.#isCut(from, to) || this.#isCut(to, from);
    try {
      const waitMs = isCut ? options.timeoutMs : this.#delayMs(from, to) + this.#delayMs(to, from);
      await clock.sleep(Math.min(waitMs, options.timeoutMs), options.signal);
    } catch (cause) {
      const text = `The connection to ${address} was cancelled`;
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
    near.join(far);
    far.join(near);
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
      onGone: () => this.#links.delete(present(link, "a link that is gone was made")),
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
