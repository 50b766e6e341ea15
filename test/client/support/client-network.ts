import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import type { ConnectOptions, Link, Listener, Network } from "../../../shared/ports/network.ts";

/** TCP of a client whose links a test changes, to inject faults. */
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

  /** Returns the methods of `link` to replace. */
  protected abstract changed(link: Link): Partial<Link>;
}
