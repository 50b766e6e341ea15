import { runTool } from "./run-tool.ts";

/** Address of the clients: the bridge in the root of the run's network namespace. */
const CLIENT_ADDRESS = "10.77.0.254";

/** Bandwidth and queue of a slowed link. A full queue takes 300 ms. */
const SLOW_QUEUE = ["tbf", "rate", "2mbit", "burst", "4k", "latency", "300ms"];

/**
 * One network namespace per node, joined by a bridge. All of them are inside the network namespace
 * of the run, so they do not affect the host.
 *
 * Requires a private mount namespace: the namespaces are named in a tmpfs on /run/netns.
 */
export class SoakNetwork {
  readonly #addresses = new Map<string, string>();

  /** Creates the bridge. */
  async open(): Promise<void> {
    await runTool("mkdir", ["-p", "/run/netns"]);
    await runTool("mount", ["-t", "tmpfs", "none", "/run/netns"]);
    await runTool("ip", ["link", "set", "lo", "up"]);
    await runTool("ip", ["link", "add", "bridge0", "type", "bridge"]);
    await runTool("ip", ["addr", "add", `${CLIENT_ADDRESS}/24`, "dev", "bridge0"]);
    await runTool("ip", ["link", "set", "bridge0", "up"]);
  }

  /** Creates the namespace of a node. Returns its address. */
  async add(name: string): Promise<string> {
    const address = `10.77.0.${this.#addresses.size + 1}`;
    this.#addresses.set(name, address);
    await runTool("ip", ["netns", "add", name]);
    const outer = outerLink(name);
    const peer = ["type", "veth", "peer", "name", "eth0", "netns", name];
    await runTool("ip", ["link", "add", outer, ...peer]);
    await runTool("ip", ["link", "set", outer, "master", "bridge0", "up"]);
    await runTool("ip", ["-n", name, "addr", "add", `${address}/24`, "dev", "eth0"]);
    await runTool("ip", ["-n", name, "link", "set", "eth0", "up"]);
    await runTool("ip", ["-n", name, "link", "set", "lo", "up"]);
    return address;
  }

  /**
   * Returns the command prefix that runs a program in the namespace with the same pid and mounts.
   */
  prefix(name: string): string[] {
    return ["nsenter", `--net=/run/netns/${name}`];
  }

  /** Drops the packets from `from` to `to`. The other direction is not affected. */
  async cut(from: string, to: string): Promise<void> {
    await this.#nft(to, "add table inet soak");
    const hook = "{ type filter hook input priority 0; policy accept; }";
    await this.#nft(to, `add chain inet soak cuts ${hook}`);
    await this.#nft(to, `add rule inet soak cuts ip saddr ${this.#address(from)} counter drop`);
  }

  /** Ends all cuts. Returns the number of dropped packets. */
  async joinAll(): Promise<number> {
    let lostCount = 0;
    for (const name of this.#addresses.keys()) {
      const rules = await this.#nft(name, "list ruleset");
      for (const [, packets] of rules.matchAll(/counter packets (\d+)/g)) {
        lostCount += Number(packets);
      }
      await this.#nft(name, "flush ruleset");
    }
    return lostCount;
  }

  /** Limits the bandwidth to and from `name`, with a queue. */
  async slowDown(name: string): Promise<void> {
    await runTool("tc", ["qdisc", "add", "dev", outerLink(name), "root", ...SLOW_QUEUE]);
    const inner = ["qdisc", "add", "dev", "eth0", "root", ...SLOW_QUEUE];
    await runTool("ip", ["netns", "exec", name, "tc", ...inner]);
  }

  /** Ends `slowDown`. Returns how often a packet was queued. */
  async speedUp(name: string): Promise<number> {
    let waitCount = 0;
    for (const [prefix, device] of [
      [[], outerLink(name)],
      [["ip", "netns", "exec", name], "eth0"],
    ] as const) {
      const command = [...prefix, "tc", "-s", "qdisc", "show", "dev", device];
      const shown = await runTool(command[0] ?? "tc", command.slice(1));
      waitCount += Number(/overlimits (\d+)/.exec(shown)?.[1] ?? 0);
      const remove = [...prefix, "tc", "qdisc", "del", "dev", device, "root"];
      await runTool(remove[0] ?? "tc", remove.slice(1));
    }
    return waitCount;
  }

  #address(name: string): string {
    const address = this.#addresses.get(name);
    if (address === undefined) throw new Error(`No such node: ${name}`);
    return address;
  }

  #nft(name: string, command: string): Promise<string> {
    return runTool("ip", ["netns", "exec", name, "nft", command]);
  }
}

/** Returns the name of the node's link on the bridge. Names of links have at most 15 letters. */
function outerLink(name: string): string {
  return `link-${name}`;
}
