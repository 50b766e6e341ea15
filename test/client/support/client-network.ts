import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import type { ConnectOptions, Link, Listener, Network } from "../../../shared/ports/network.ts";

/** TCP as a client uses it, with something in the way of its links. */
export abstract class ClientNetwork implements Network {
  readonly #tcp = new TcpNetwork();

  async connect(address: string, options: ConnectOptions): Promise<Link> {
    const link = await this.#tcp.connect(address, options);
    return {
      peerAddress: link.peerAddress,
      start: (receiver) => link.start(receiver),
      write: (parts) => link.write(parts),
      pause: () => link.pause(),
      resume: () => link.resume(),
      close: () => link.close(),
      destroy: () => link.destroy(),
      ...this.changed(link),
    };
  }

  listen(): Promise<Listener> {
    return Promise.reject(new Error("A client does not listen"));
  }

  /** What becomes of `link`: all else of it stays. */
  protected abstract changed(link: Link): Partial<Link>;
}
