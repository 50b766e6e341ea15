import * as v from "valibot";

const MIB = 1024 * 1024;
const TIB = 1024 * 1024 * MIB;

const addressSchema = v.pipe(
  v.string(),
  v.regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):\d{1,5}$/, "expected host:port"),
);
const bytesSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const durationMsSchema = v.pipe(v.number(), v.integer(), v.minValue(1));
const countSchema = v.pipe(v.number(), v.integer(), v.minValue(1));

/** What a gateway may choose, at a restart. Unknown keys are errors. */
export const gatewayConfigSchema = v.strictObject({
  /** Where HTTP is served. The gateway knows no users: whoever reaches this address may do anything. */
  listen: v.optional(addressSchema, "127.0.0.1:7480"),
  /** A directory made by `ashlar cluster up`, or HOST:PORT,… of masters. Default: the CLI's config file. */
  cluster: v.optional(v.string()),
  /** Names by which browsers may reach a gateway that listens on the loopback, beside localhost. */
  hostNames: v.optional(v.array(v.string()), []),
  /** The largest file that may be uploaded. */
  fileBytesMax: v.optional(bytesSchema, 4 * TIB),
  /** Files in one form; the rest of it is refused. */
  formFilesMax: v.optional(countSchema, 1_000),
  connectionsMax: v.optional(countSchema, 1_024),
  /** Bodies that are under way, both directions; above it requests are OVERLOADED. Bounds memory. */
  transfersMax: v.optional(countSchema, 32),
  /** Read ahead of each download. */
  readAheadBytesMax: v.optional(bytesSchema, 4 * MIB),
  /** One call to the masters, with its retries. */
  timeoutMs: v.optional(durationMsSchema, 30_000),
  /** A request on which no byte moves for so long is given up. */
  stallTimeoutMs: v.optional(durationMsSchema, 60_000),
  /** A stop waits so long for requests under way. */
  stopGraceMs: v.optional(durationMsSchema, 10_000),
});

export type GatewayConfig = v.InferOutput<typeof gatewayConfigSchema>;
