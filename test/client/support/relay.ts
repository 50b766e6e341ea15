import { connect, createServer, type Socket } from "node:net";
import { Closers } from "../../../shared/flow/closers.ts";

/** The name of a method as it is in the head of a request. */
const METHOD = /(?:namespace|fleet|admin)\.[a-z-]+/g;

/** A TCP relay to a master, which notes the methods that its clients call. */
export class Relay implements AsyncDisposable {
  /** Names of the methods, in the order of the requests. */
  readonly methods: string[] = [];
  /** Number of connections of clients. */
  connectionCount = 0;
  /** HOST:PORT of the relay. */
  readonly address: string;
  readonly #closers: Closers;

  private constructor(address: string, closers: Closers) {
    this.address = address;
    this.#closers = closers;
  }

  static async start(master: string): Promise<Relay> {
    const [host = "", port = ""] = master.split(":");
    const sockets = new Set<Socket>();
    const closers = new Closers();
    const server = createServer((client) => {
      relay.connectionCount += 1;
      const upstream = connect(Number(port), host);
      for (const socket of [client, upstream]) {
        sockets.add(socket);
        socket.on("error", () => {}); // The other end is closed by "close".
      }
      client.on("close", () => upstream.destroySoon());
      upstream.on("close", () => client.destroySoon());
      client.on("data", (bytes) => {
        relay.methods.push(...(bytes.toString("latin1").match(METHOD) ?? []));
      });
      client.pipe(upstream);
      upstream.pipe(client);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.defer(() => new Promise<void>((resolve) => server.close(() => resolve())));
    closers.defer(() => {
      for (const socket of sockets) socket.destroy();
    });
    const address = server.address();
    const relay = new Relay(
      `127.0.0.1:${typeof address === "object" ? address?.port : ""}`,
      closers,
    );
    return relay;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closers[Symbol.asyncDispose]();
  }
}
