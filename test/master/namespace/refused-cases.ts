import type { NamespaceOperation } from "../../../master/namespace/command.ts";
import type { Reason } from "../../../master/namespace/refusal-words.ts";
import type { Digest, InodeId, LogIndex } from "../../../shared/base/ids.ts";
import type { Precondition } from "../../../shared/protocol/namespace-api.ts";
import { commit, copy, create, make, on, PAST, put, rename, restore } from "./case-operations.ts";
import { chunksContent, inline, MIB, sealed } from "./harness.ts";

/** A transaction that is refused, and the words that version 0.1.0 stored for it. */
export interface RefusedCase {
  readonly reason: Reason;
  readonly operation?: NamespaceOperation;
  readonly precondition?: Precondition;
  readonly words: string;
}

/** Each reason that a transaction at feature level 1 can have, with each form of its words. */
export const REFUSED_CASES: readonly RefusedCase[] = [
  {
    reason: "path-not-absolute",
    operation: put("a"),
    words: 'Cannot use the path "a": expected an absolute path, one that begins with "/"',
  },
  {
    reason: "path-not-absolute",
    operation: make("\n"),
    words: 'Cannot use the path "\\n": expected an absolute path, one that begins with "/"',
  },
  {
    reason: "name-invalid",
    operation: make("/a\0"),
    words:
      'Cannot use the path "a\\x00": expected a name without "/" and NUL that is not "." or ".."',
  },
  {
    reason: "name-too-long",
    operation: make(`/${"n".repeat(256)}`),
    words:
      'Cannot use the name "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…": expected at most 255 bytes: it has 256',
  },
  {
    reason: "path-too-long",
    operation: put(`/${"abc/".repeat(16 * 1024)}`),
    words: "Cannot use a path of 65537 bytes: expected at most 65536",
  },
  {
    reason: "target-empty",
    operation: put("", { target: {} }),
    words: "Cannot use a target: expected an inode or a path: it has none",
  },
  {
    reason: "inode-unknown",
    operation: { kind: "unlink", target: { inode: 99 as InodeId } },
    words: "Cannot unlink inode 99: expected it to be in the tree: it is not",
  },
  {
    reason: "name-unknown",
    operation: make("/no/a"),
    words: 'Cannot make the directory "/no/a": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: create("/no/a"),
    words: 'Cannot create "/no/a": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: put("/no/a"),
    words: 'Cannot put "/no/a": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: commit("/no", { size: 0, expected: 0 }),
    words: 'Cannot commit to "/no": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: on("unlink", "/no"),
    words: 'Cannot unlink "/no": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: on("remove-directory", "/no"),
    words: 'Cannot remove the directory "/no": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: on("remove-tree", "/no"),
    words: 'Cannot remove "/no": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: on("set-attributes", "/no"),
    words: 'Cannot set attributes of "/no": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: { ...on("set-storage-class", "/no"), storageClass: "standard" },
    words: 'Cannot set the storage class of "/no": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: rename("/no", "/a"),
    words: 'Cannot rename "/no": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: rename("/f", "/no/a"),
    words: 'Cannot rename to "/no/a": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: copy("/no", "/a"),
    words: 'Cannot copy "/no": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: copy("/f", "/no/a"),
    words: 'Cannot copy to "/no/a": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: restore("/no", "/a", PAST),
    words: 'Cannot restore "/no": expected "/no" to be there: it is not',
  },
  {
    reason: "name-unknown",
    operation: restore("/f", "/no/a", PAST),
    words: 'Cannot restore to "/no/a": expected "/no" to be there: it is not',
  },
  {
    reason: "parent-not-directory",
    operation: create("/f/a/b"),
    words: 'Cannot create "/f/a/b": expected "/f" to be a directory: it is a file',
  },
  {
    reason: "parent-not-directory",
    operation: make("/f/a/b", true),
    words: 'Cannot make the directory "/f/a/b": expected "/f" to be a directory: it is a file',
  },
  {
    reason: "not-directory",
    operation: on("remove-directory", "/f"),
    words: 'Cannot remove the directory "/f": expected a directory: it is a file',
  },
  {
    reason: "not-file",
    operation: on("unlink", "/d"),
    words: 'Cannot unlink "/d": expected a file: it is a directory',
  },
  {
    reason: "not-file",
    operation: put("/d"),
    words: 'Cannot put "/d": expected a file: it is a directory',
  },
  {
    reason: "not-file",
    operation: copy("/d", "/a"),
    words: 'Cannot copy "/d": expected a file: it is a directory',
  },
  {
    reason: "not-file",
    operation: copy("/f", "/d"),
    words: 'Cannot copy to "/d": expected a file: it is a directory',
  },
  {
    reason: "not-file",
    operation: restore("/f", "/d", PAST),
    words: 'Cannot restore to "/d": expected a file: it is a directory',
  },
  {
    reason: "not-empty",
    operation: on("remove-directory", "/d"),
    words: 'Cannot remove the directory "/d": expected an empty directory: it has 1 entry',
  },
  {
    reason: "not-empty",
    operation: on("remove-directory", "/e"),
    words: 'Cannot remove the directory "/e": expected an empty directory: it has 2 entries',
  },
  {
    reason: "name-taken",
    operation: make("/d"),
    words: 'Cannot make the directory "/d": expected a free name: there is a directory',
  },
  {
    reason: "name-taken",
    operation: make("/f", true),
    words: 'Cannot make the directory "/f": expected a free name or a directory: there is a file',
  },
  {
    reason: "name-taken",
    operation: create("/f"),
    words: 'Cannot create "/f": expected a free name: there is a file',
  },
  {
    reason: "name-taken",
    operation: put("/f", { replace: false }),
    words: 'Cannot put "/f": expected a free name: there is a file',
  },
  {
    reason: "name-taken",
    operation: copy("/f", "/c"),
    words: 'Cannot copy to "/c": expected a free name: there is a file',
  },
  {
    reason: "name-taken",
    operation: rename("/f", "/c", true),
    words: 'Cannot rename to "/c": expected a free name: there is a file',
  },
  {
    reason: "name-taken",
    operation: restore("/f", "/c", PAST),
    words: 'Cannot restore to "/c": expected a free name: there is a file',
  },
  {
    reason: "root-fixed",
    operation: on("remove-tree", "/"),
    words: 'Cannot remove "/": expected a path below the root: it is the root',
  },
  {
    reason: "root-fixed",
    operation: rename("/", "/a"),
    words: 'Cannot rename "/": expected a path below the root: it is the root',
  },
  {
    reason: "rename-inside",
    operation: rename("/d", "/d/a"),
    words: 'Cannot rename "/d" to "/d/a": expected a place outside it: it is inside',
  },
  {
    reason: "rename-onto-file",
    operation: rename("/d", "/f"),
    words:
      'Cannot rename the directory "/d" to "/f": expected a free name or an empty directory: there is a file',
  },
  {
    reason: "rename-onto-directory",
    operation: rename("/f", "/d"),
    words:
      'Cannot rename the file "/f" to "/d": expected a free name or a file: there is a directory',
  },
  {
    reason: "rename-not-empty",
    operation: rename("/d", "/e"),
    words: 'Cannot rename "/d" to "/e": expected an empty directory: it has 2 entries',
  },
  {
    reason: "index-reclaimed",
    operation: restore("/f", "/a", 2),
    words: "Cannot read as of index 2: expected 6 or later: older states are reclaimed",
  },
  {
    reason: "index-unapplied",
    operation: restore("/f", "/a", 99),
    words: "Cannot read as of index 99: expected at most 11, the last that was applied",
  },
  {
    reason: "class-unknown",
    operation: put("/a", { storageClass: "no" }),
    words: 'Cannot use the storage class "no": expected one that is defined: it is not',
  },
  {
    reason: "inline-size",
    operation: put("/a", { content: inline("x".repeat(4097)) }),
    words: "Cannot keep 4097 bytes in the inode: expected at most 4096",
  },
  {
    reason: "chunk-size",
    operation: put("/a", { content: { ...chunksContent(), chunkSizeBytes: 1000 } }),
    words: "Cannot use a chunk size of 1000 bytes: expected a power of two, 1048576 to 67108864",
  },
  {
    reason: "file-size",
    operation: put("/a", { content: { ...chunksContent(), sizeBytes: 2 ** 50 } }),
    words:
      "Cannot commit a file of 1125899906842624 bytes: expected at most 65536 chunks of 1048576 bytes",
  },
  {
    reason: "chunk-count",
    operation: put("/a", { content: { ...chunksContent(), sizeBytes: MIB } }),
    words: "Cannot commit 1048576 bytes: expected 1 chunks of 1048576 bytes: there are 0",
  },
  {
    reason: "position-length",
    operation: put("/a", {
      content: { ...chunksContent(sealed("q")), sizeBytes: 5 },
    }),
    words: "Cannot commit 5 bytes: expected 5 bytes at position 0: the chunk has 1048576",
  },
  {
    reason: "chunk-length",
    operation: put("/a", { content: chunksContent(sealed("p", { lengthBytes: 5 })) }),
    words:
      "Cannot commit chunk 7000000000000000000000000000000000000000000000000000000000000000: expected 1048576 bytes: the commit says 5",
  },
  {
    reason: "chunks-unknown",
    operation: put("/a", { content: chunksContent(sealed("q", { servers: [] })) }),
    words: "Cannot commit by reference: expected chunks that the cluster holds: 1 are not there",
  },
  {
    reason: "intent-old",
    operation: put("/a", { content: chunksContent(sealed("q", { intentIndex: 6 })) }),
    words:
      "Cannot commit chunk 7100000000000000000000000000000000000000000000000000000000000000: expected an intent of index 7 or later: it was written under 6",
  },
  {
    reason: "copies-few",
    operation: put("/a", {
      content: chunksContent(sealed("q", { servers: ["s1"], intentIndex: 100 })),
    }),
    words:
      "Cannot commit chunk 7100000000000000000000000000000000000000000000000000000000000000: expected at least 2 copies: it has 1",
  },
  {
    reason: "position-invalid",
    operation: commit("/c", { size: MIB, expected: MIB, position: 3 }),
    words: "Cannot commit position 3: expected each below 1, and once: it is not",
  },
  {
    reason: "size-changed",
    operation: commit("/c", { size: 0, expected: 5 }),
    words: 'Cannot commit to "/c": expected a size of 5 bytes: it has 1048576',
  },
  {
    reason: "chunk-changed",
    operation: commit("/c", { size: MIB, expected: MIB, position: 0, of: "r" }),
    words:
      'Cannot commit to "/c": expected 7200000000000000000000000000000000000000000000000000000000000000 at position 0: there is 7000000000000000000000000000000000000000000000000000000000000000',
  },
  {
    reason: "chunk-changed",
    operation: commit("/c", { size: MIB, expected: MIB, position: 0 }),
    words:
      'Cannot commit to "/c": expected no chunk at position 0: there is 7000000000000000000000000000000000000000000000000000000000000000',
  },
  {
    reason: "chunk-changed",
    operation: commit("/c", { size: 2 * MIB, expected: MIB, position: 1, of: "r" }),
    words:
      'Cannot commit to "/c": expected 7200000000000000000000000000000000000000000000000000000000000000 at position 1: there is none',
  },
  {
    reason: "precondition-failed",
    precondition: on("absent", "/d"),
    words:
      'Cannot apply the transaction: expected nothing at "/d": there is a directory of version 9',
  },
  {
    reason: "precondition-failed",
    precondition: on("exists", "/no"),
    words: 'Cannot apply the transaction: expected something at "/no": there is nothing',
  },
  {
    reason: "precondition-failed",
    precondition: { ...on("version", "/f"), version: 1 as LogIndex },
    words: 'Cannot apply the transaction: expected version 1 at "/f": there is a file of version 9',
  },
  {
    reason: "precondition-failed",
    precondition: { ...on("content-root", "/f"), root: new Uint8Array(32) as Digest },
    words:
      'Cannot apply the transaction: expected a file with root 0000000000000000000000000000000000000000000000000000000000000000 at "/f": there is a file of version 9',
  },
];
