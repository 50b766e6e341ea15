// The declarations name types of Node and `AsyncDisposable`: a program needs no settings for them.
/// <reference types="node" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Ashlar's client library: the complete public API.
 *
 *     import { connect } from "ashlar";
 *
 *     await using fs = await connect({ masters: ["127.0.0.1:7400"] });
 *     await fs.writeFile("/hello", "Hello", { replace: true });
 *     console.log(await fs.readText("/hello"));
 *
 * `ashlar cluster up --dir DIRECTORY` starts a local cluster whose first master listens on 7400:
 * `connect({ cluster: DIRECTORY })` finds its masters.
 */
export {
  AshlarError,
  ERROR_CODES,
  type ErrorCode,
  type ErrorTraits,
  isAshlarError,
  type RetryClass,
} from "../shared/base/errors.ts";
export { displayName, type PathInput } from "../shared/base/path.ts";
export type {
  Attributes,
  DirectoryAttributes,
  FileAttributes,
} from "../shared/protocol/attributes.ts";
export type { BackupHead } from "../shared/protocol/backup-api.ts";
export type { EnrolmentStatus } from "../shared/protocol/enrolment-api.ts";
export type { ClusterStatus } from "../shared/protocol/fleet-api.ts";
export type { FinalizedUpgrade, MastersStatus } from "../shared/protocol/masters-api.ts";
export type {
  Operation,
  Precondition,
  StorageClass,
  Target,
} from "../shared/protocol/namespace-api.ts";
export { connect } from "./connect.ts";
export type { FileSystem } from "./file-system.ts";
export type {
  CloseEnrolmentOptions,
  Enrolment,
  JoinTokenOptions,
} from "./masters/enrolment.ts";
export type { AddMastersOptions, MasterAddress, Masters } from "./masters/membership.ts";
export type { AsOfState } from "./names/as-of.ts";
export type { RestoreResult } from "./names/restore.ts";
export { targetOf } from "./names/target.ts";
export {
  type ChunkChange,
  type ChunksByReference,
  type FoundAtPath,
  refusalOf,
  Transaction,
  type TransactionRefusal,
  type TransactionResult,
} from "./names/transaction.ts";
export type {
  AsOf,
  AttributeChanges,
  ByteRange,
  CallOptions,
  ConnectOptions,
  CopyOptions,
  CreateOptions,
  FillSource,
  ListCursor,
  ListOptions,
  ListPageOptions,
  MakeDirectoryOptions,
  OwnerOptions,
  PutOptions,
  PutSource,
  ReadFileOptions,
  ReadModeName,
  ReadOptions,
  RemoveServerOptions,
  RenameOptions,
  RestoreOptions,
  RetryEvent,
  VerifyOptions,
  WalkOptions,
  WatchCursor,
  WatchOptions,
} from "./options.ts";
export type {
  BackupPart,
  Checksum,
  Committed,
  DirectoryEntry,
  FileHandle,
  ListPage,
  PathVersion,
  PutResult,
  ReplicaResult,
  Slab,
  VerifyResult,
  WalkEntry,
  Watch,
  WatchEvent,
  WriteStream,
} from "./results.ts";
