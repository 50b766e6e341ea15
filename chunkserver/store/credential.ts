import * as v from "valibot";
import { fromHex, toHex } from "../../shared/base/bytes.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { Digest } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Log } from "../../shared/ports/log.ts";

const CREDENTIAL_FILE = "credential.json";
const FORMAT_VERSION = 1;

const credentialSchema = v.strictObject({
  format: v.literal("ashlar credential"),
  version: v.literal(FORMAT_VERSION),
  /** Hex digits. */
  credential: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
});

/** The credential of this server: with it the server proves to the masters that it has enrolled. */
export class Credential {
  readonly #disk: Disk;
  #value: Digest | null;

  private constructor(disk: Disk, value: Digest | null) {
    this.#disk = disk;
    this.#value = value;
  }

  /** Reads the credential of a data directory. A file that cannot be read counts as none. */
  static async open(disk: Disk, log: Log): Promise<Credential> {
    let bytes: Uint8Array;
    try {
      bytes = await disk.readFile(CREDENTIAL_FILE);
    } catch (error) {
      if (isAshlarError(error, "NOT_FOUND")) return new Credential(disk, null);
      throw error;
    }
    const parsed = v.safeParse(credentialSchema, parseJson(bytes));
    if (!parsed.success) {
      log.error("The credential cannot be read: this server needs a join token", {
        file: CREDENTIAL_FILE,
      });
      return new Credential(disk, null);
    }
    return new Credential(disk, fromHex(parsed.output.credential) as Digest);
  }

  /** Null before the server has enrolled. */
  get value(): Digest | null {
    return this.#value;
  }

  /** Replaces the credential. Durable when it resolves; only the owner may read the file. */
  async save(value: Digest): Promise<void> {
    const file = {
      format: "ashlar credential",
      version: FORMAT_VERSION,
      credential: toHex(value),
    };
    const text = `${JSON.stringify(file, null, 2)}\n`;
    await this.#disk.writeFileDurably(CREDENTIAL_FILE, new TextEncoder().encode(text));
    this.#value = value;
  }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null; // The schema rejects null.
  }
}
