import { assert } from "../base/assert.ts";
import { AshlarError, isAshlarError } from "../base/errors.ts";
import type { Link, Listener } from "../ports/network.ts";
import type { CallMethod, StreamMethod } from "../protocol/method.ts";
import type { Role } from "../protocol/roles.ts";
import { ByteBudget } from "./byte-budget.ts";
import type { WireDeps } from "./connect.ts";
import { FRAME_KINDS, MAGIC } from "./frame.ts";
import type { Frame } from "./frame-reader.ts";
import { checkPeer, checkVersion, HandshakeHandler, postHello, readHello } from "./handshake.ts";
import { DEFAULT_WIRE_LIMITS, type WireLimits } from "./limits.ts";
import { Multiplexer } from "./multiplexer.ts";
import { ReadSlices } from "./read-slices.ts";
import type { CallHandler, Handlers, PeerIdentity, StreamHandler } from "./rpc.ts";
import { type Registration, ServerConnection } from "./server-connection.ts";
import { TurnSlices } from "./turn-slices.ts";
import { UnreadAnswers } from "./unread-answers.ts";

/** Options of `RpcServer`. */
export interface RpcServerOptions {
  /**
   * Returns the identity of this end. Called at every handshake, because the cluster id may be set
   * after the server has started to listen.
   */
  readonly identity: () => PeerIdentity;
  /**
   * Checks a peer. To refuse the peer, it throws an AshlarError, which is sent to the peer. A peer
   * of another cluster is refused with WRONG_CLUSTER before this check.
   */
  readonly accept?: (peer: PeerIdentity, peerAddress: string) => void;
  readonly limits?: Partial<WireLimits>;
  /** Bounds of the connections. Default: `DEFAULT_PLACES`. */
  readonly places?: Partial<ConnectionPlaces>;
  /** Memory of the requests in progress on all connections to peers of one role. */
  readonly requestMemoryBytesMax?: number;
  /** Memory of the answers that the peers of one role have not read. Default: `ANSWER_BYTES_MAX`. */
  readonly answerBytesMax?: number;
}

/**
 * Largest numbers of connections by the role of the peer: clients cannot take the places of masters
 * and chunkservers. Further ones are refused with OVERLOADED.
 */
export interface ConnectionPlaces extends Readonly<Record<Role, number>> {
  /**
   * Connections without a complete handshake. For a further one the oldest is closed. As many as the
   * system keeps waiting: a turn can accept all of them before it reads from the first one.
   */
  readonly handshake: number;
}

/** Bounds of the connections of a server. */
const DEFAULT_PLACES: ConnectionPlaces = {
  client: 16_384,
  chunkserver: 4_096,
  master: 64,
  handshake: 4_096,
};
/**
 * Bodies that no handler has asked for, on all connections: those of requests, and those of streams before
 * the first `receive`. A connection may have a quarter. Those of masters are not counted.
 */
export const EARLY_BODY_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Default of `RpcServerOptions.requestMemoryBytesMax`: some 180,000 small calls that wait. Each role has its
 * own, so that calls of clients leave memory for those of masters and chunkservers.
 */
const REQUEST_MEMORY_BYTES_MAX = 512 * 1024 * 1024;
/** Default of `RpcServerOptions.answerBytesMax`: see `UnreadAnswers`. */
const ANSWER_BYTES_MAX = 512 * 1024 * 1024;
const CLOSE_GRACE_MS = 5000;

/**
 * Serves calls and streams at one address. Handlers are registered before `listen`. Disposing the
 * server closes it with a grace period of 5 s.
 */
export class RpcServer implements Handlers, AsyncDisposable {
  readonly #deps: WireDeps;
  readonly #options: RpcServerOptions;
  readonly #limits: WireLimits;
  readonly #registrations = new Map<string, Registration>();
  readonly #connections = new Set<ServerConnection>();
  /** All links, including those without a complete handshake. */
  readonly #multiplexers = new Set<Multiplexer>();
  /** The links without a complete handshake, oldest first. */
  readonly #handshakes = new Set<Multiplexer>();
  readonly #places: ConnectionPlaces;
  readonly #connectionCounts: Record<Role, number> = { client: 0, chunkserver: 0, master: 0 };
  readonly #memory: Readonly<Record<Role, ByteBudget>>;
  readonly #earlyBodies = new ByteBudget(EARLY_BODY_BYTES_MAX);
  readonly #slices: TurnSlices;
  readonly #readSlices: ReadSlices;
  readonly #holdWrite = (flush: () => void): void => this.#slices.hold(flush);
  readonly #answers: Readonly<Record<Role, UnreadAnswers>>;
  #listener: Listener | null = null;
  #isClosing = false;

  constructor(deps: WireDeps, options: RpcServerOptions) {
    this.#deps = deps;
    this.#slices = new TurnSlices(deps.clock);
    this.#readSlices = new ReadSlices(deps.clock);
    this.#options = options;
    this.#limits = { ...DEFAULT_WIRE_LIMITS, ...options.limits };
    const { requestMemoryBytesMax = REQUEST_MEMORY_BYTES_MAX } = options;
    this.#memory = {
      client: new ByteBudget(requestMemoryBytesMax),
      chunkserver: new ByteBudget(requestMemoryBytesMax),
      master: new ByteBudget(requestMemoryBytesMax),
    };
    const answersOf = (): UnreadAnswers =>
      new UnreadAnswers(deps.log, options.answerBytesMax ?? ANSWER_BYTES_MAX);
    this.#answers = { client: answersOf(), chunkserver: answersOf(), master: answersOf() };
    this.#places = { ...DEFAULT_PLACES, ...options.places };
  }

  get connectionCount(): number {
    return this.#multiplexers.size;
  }

  onCall<Request, Response>(
    method: CallMethod<Request, Response>,
    handler: CallHandler<Request, Response>,
  ): void {
    // The signature checks that the parser returns what the handler takes. The map drops the types.
    this.#register(method.name, { kind: "call", method, handler } as unknown as Registration);
  }

  onStream<Open, Up, Down>(
    method: StreamMethod<Open, Up, Down>,
    handler: StreamHandler<Open, Up, Down>,
  ): void {
    this.#register(method.name, { kind: "stream", method, handler } as unknown as Registration);
  }

  /**
   * Accepts connections at `address` ("host:port"; port 0 lets the system choose a free port).
   * Resolves to the actual address.
   *
   * @throws {AshlarError} ADDRESS_IN_USE
   */
  async listen(address: string): Promise<string> {
    assert(this.#listener === null, "a server listens once");
    const listener = await this.#deps.network.listen(address, (link) => this.#onLink(link));
    this.#listener = listener;
    return listener.address;
  }

  /**
   * Stops accepting connections and sends goaway frames. Waits at most `graceMs` for the calls in
   * progress, cancels the others and closes all connections. New requests fail with UNAVAILABLE.
   */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    const listenerClosed = this.#listener?.close();
    const idle = Promise.all([...this.#connections].map((connection) => connection.goAway()));
    await this.#within(graceMs, idle);
    for (const connection of [...this.#connections]) connection.destroy();
    const closed = Promise.all([...this.#multiplexers].map((multiplexer) => multiplexer.closed));
    await this.#within(Math.max(graceMs, 100), closed);
    for (const multiplexer of [...this.#multiplexers]) multiplexer.fail(null);
    await listenerClosed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close(CLOSE_GRACE_MS);
  }

  #register(name: string, registration: Registration): void {
    assert(this.#listener === null, "handlers are registered before the server listens");
    assert(!this.#registrations.has(name), "a method has one handler");
    this.#registrations.set(name, registration);
  }

  #onLink(link: Link): void {
    const { clock, log } = this.#deps;
    let isRefused = false;
    const onFrame = (frame: Frame): void => {
      try {
        this.#welcome(multiplexer, frame);
        timer.cancel();
      } catch (error) {
        isRefused = true; // The peer has until the timeout to read the refusal and close.
        this.#refuse(multiplexer, error);
      }
    };
    const onClosed = (): void => {
      timer.cancel();
      this.#handshakes.delete(multiplexer);
      this.#multiplexers.delete(multiplexer);
    };
    const handshake = new HandshakeHandler({ onFrame, onClosed });
    const deps = { ...this.#deps, holdWrite: this.#holdWrite };
    const multiplexer = new Multiplexer(deps, link, this.#limits, handshake);
    this.#multiplexers.add(multiplexer);
    this.#handshakes.add(multiplexer);
    this.#closeOldestHandshake();
    const timer = clock.after(this.#limits.handshakeTimeoutMs, () => {
      const { peerAddress } = link;
      if (!isRefused)
        log.warn("A connection without a valid handshake was closed", {
          peerAddress,
          reason: "it sent no hello before the timeout",
        });
      multiplexer.fail(null);
    });
  }

  /** Makes room for the newest link: one that never says hello keeps no other out. */
  #closeOldestHandshake(): void {
    const [oldest] = this.#handshakes;
    if (this.#handshakes.size > this.#places.handshake) oldest?.fail(null);
  }

  /** @throws {AshlarError} OVERLOADED if all places of the role are taken */
  #checkPlace(role: Role): void {
    const placesMax = this.#places[role];
    if (this.#connectionCounts[role] < placesMax) return;
    throw new AshlarError(
      "OVERLOADED",
      `This server has ${placesMax} connections to ${role}s, its maximum`,
    );
  }

  /** Accepts a peer by its hello. @throws {AshlarError} if the peer is refused */
  #welcome(multiplexer: Multiplexer, frame: Frame): void {
    const { peerAddress } = multiplexer.link;
    const hello = readHello(frame, FRAME_KINDS.hello);
    checkVersion(hello, peerAddress);
    const identity = this.#options.identity();
    checkPeer(hello.identity, { clusterId: identity.clusterId }, peerAddress);
    if (this.#isClosing) throw new AshlarError("UNAVAILABLE", "This server is closing");
    const { role } = hello.identity;
    this.#checkPlace(role);
    this.#options.accept?.(hello.identity, peerAddress);
    postHello(multiplexer, FRAME_KINDS.welcome, identity);
    this.#handshakes.delete(multiplexer);
    this.#connectionCounts[role] += 1;
    const connection: ServerConnection = new ServerConnection({
      clock: this.#deps.clock,
      log: this.#deps.log,
      multiplexer,
      hello,
      registrations: this.#registrations,
      memory: new ByteBudget(this.#limits.requestMemoryBytesMax, this.#memory[role]),
      earlyBodies: new ByteBudget(EARLY_BODY_BYTES_MAX / 4, this.#earlyBodies),
      slices: this.#slices,
      answers: this.#answers[role],
      readSlices: this.#readSlices,
      onClosed: () => {
        this.#connectionCounts[role] -= 1;
        this.#answers[role].remove(multiplexer);
        this.#connections.delete(connection);
        this.#multiplexers.delete(multiplexer);
      },
    });
    this.#connections.add(connection);
    this.#answers[role].add(multiplexer);
  }

  #refuse(multiplexer: Multiplexer, error: unknown): void {
    const { peerAddress } = multiplexer.link;
    if (isAshlarError(error, "PROTOCOL_ERROR")) {
      multiplexer.failMalformed(error.message);
      return;
    }
    this.#deps.log.warn("A peer was refused", { peerAddress, error });
    multiplexer.postError(FRAME_KINDS.refusal, MAGIC, error);
    multiplexer.close();
  }

  async #within(timeoutMs: number, work: Promise<unknown>): Promise<void> {
    let cancel = (): void => {};
    const timeout = new Promise<void>((resolve) => {
      const timer = this.#deps.clock.after(timeoutMs, resolve);
      cancel = () => timer.cancel();
    });
    await Promise.race([work, timeout]);
    cancel();
  }
}
