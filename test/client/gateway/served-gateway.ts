import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import { parse } from "valibot";
import { type GatewayConfig, gatewayConfigSchema } from "../../../client/gateway/config.ts";
import type { GatewayFiles } from "../../../client/gateway/gateway-request.ts";
import { type Gateway, startGateway } from "../../../client/gateway/server.ts";
import { createLog } from "../../../shared/platform/pino-log.ts";
import { PrometheusMetrics } from "../../../shared/platform/prometheus-metrics.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { MemoryFiles } from "./memory-files.ts";

export interface GatewayResponse {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
  readonly text: string;
}

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Address of the client, to be another client than the default one. */
  readonly localAddress?: string;
}

/** A running gateway over files in memory or in a cluster, on a free port of the loopback. */
export class ServedGateway implements AsyncDisposable {
  readonly files: MemoryFiles;
  readonly #gateway: Gateway;
  readonly #agent = new Agent({ keepAlive: true });

  private constructor(gateway: Gateway, files: MemoryFiles) {
    this.#gateway = gateway;
    this.files = files;
  }

  /** @param served files of a real cluster, instead of `files` */
  static async start(
    config: Partial<GatewayConfig> = {},
    served?: GatewayFiles,
  ): Promise<ServedGateway> {
    const files = new MemoryFiles();
    const metrics = new PrometheusMetrics();
    const values = parse(gatewayConfigSchema, {
      listen: "127.0.0.1:0",
      stopGraceMs: 200,
      ...config,
    });
    const gateway = await startGateway(values, {
      files: served ?? (files as unknown as GatewayFiles),
      clock: new SystemClock(),
      log: createLog({ to: "stderr", level: "error" }),
      metrics,
      scrape: () => metrics.scrape(),
    });
    return new ServedGateway(gateway, files);
  }

  get address(): string {
    return this.#gateway.address;
  }

  /** Sends a request with the exact path. `fetch` would normalize it. */
  request(
    path: string,
    { method = "GET", headers = {}, body, localAddress }: RequestOptions = {},
  ): Promise<GatewayResponse> {
    const [host, port] = this.address.split(":");
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest(
        { host, port, path, method, headers, agent: this.#agent, localAddress },
        (incoming) => {
          buffer(incoming).then((bytes) => {
            const { statusCode = 0, headers: found } = incoming;
            resolve({
              status: statusCode,
              headers: found,
              body: bytes,
              text: bytes.toString("utf8"),
            });
          }, reject);
        },
      );
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    await this.#gateway[Symbol.asyncDispose]();
  }
}
