import { AshlarError } from "../../../shared/base/errors.ts";
import { TcpNetwork } from "../../../shared/platform/tcp-network.ts";
import type { ConnectOptions, Link, Listener, Network } from "../../../shared/ports/network.ts";

/** TCP whose outgoing connections can be cut. */
export class CutNetwork implements Network {
  readonly #tcp = new TcpNetwork();
  readonly #links: { readonly link: Link; readonly address: string }[] = [];
  #isCut: (address: string) => boolean = () => false;

  /**
   * Breaks the connections to all addresses for which `isCut` returns true, and refuses new ones.
   */
  cut(isCut: (address: string) => boolean): void {
    this.#isCut = isCut;
    for (const { link, address } of this.#links) if (isCut(address)) link.destroy();
  }

  async connect(address: string, options: ConnectOptions): Promise<Link> {
    if (this.#isCut(address)) {
      throw new AshlarError("UNAVAILABLE", `Cannot reach ${address}: the test has cut the network`);
    }
    const link = await this.#tcp.connect(address, options);
    this.#links.push({ link, address });
    if (this.#isCut(address)) link.destroy();
    return link;
  }

  listen(address: string, onLink: (link: Link) => void): Promise<Listener> {
    return this.#tcp.listen(address, onLink);
  }
}
