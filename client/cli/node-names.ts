import { readClusterFile } from "../../shared/platform/local-cluster-file.ts";
import { serverLabel } from "../../shared/protocol/intent.ts";
import { systemPathOf } from "./cli-env.ts";
import type { CommandContext } from "./command.ts";

/**
 * Names of the nodes of a local cluster ("m1", "c2") by address. Empty for a cluster that the
 * setting `cluster` gives as a list of masters.
 */
export class NodeNames {
  readonly #names: ReadonlyMap<string, string>;

  constructor(names: ReadonlyMap<string, string>) {
    this.#names = names;
  }

  static async of(context: CommandContext): Promise<NodeNames> {
    const directory = await context.clusterDirectory();
    const path = directory === null ? null : systemPathOf(context.env, directory);
    const file = path === null ? null : await readClusterFile(path);
    return new NodeNames(new Map(file?.nodes.map(({ address, name }) => [address, name]) ?? []));
  }

  get isEmpty(): boolean {
    return this.#names.size === 0;
  }

  /** Returns servers in the order of their nodes in the cluster file; others follow, as they were. */
  inOrder<Server extends { readonly address: string }>(servers: readonly Server[]): Server[] {
    const positions = new Map([...this.#names.keys()].map((address, index) => [address, index]));
    const positionOf = ({ address }: Server): number => positions.get(address) ?? positions.size;
    return [...servers].sort((a, b) => positionOf(a) - positionOf(b));
  }

  /** Returns the name of the node at `address`, or null. */
  find(address: string): string | null {
    return this.#names.get(address) ?? null;
  }

  /** Replaces the labels of chunkservers in a text of the masters by their names. */
  nameServersIn(text: string, servers: readonly Parameters<typeof serverLabel>[0][]): string {
    let named = text;
    for (const server of servers) {
      const name = this.find(server.address);
      if (name !== null) named = named.replaceAll(serverLabel(server), name);
    }
    return named;
  }
}
