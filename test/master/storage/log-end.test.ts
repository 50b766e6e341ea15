import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { MemoryDisk } from "../../support/memory-disk.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import {
  bytesOf,
  contentOf,
  entries,
  hardState,
  type LogFixture,
  makeFixture,
  openLog,
  segmentPaths,
} from "./log-fixture.ts";

const NEWEST = "newest-segment.json";

/** Returns the fixture of a closed log of eight segments. Its entries are committed. */
async function eightSegments(): Promise<LogFixture> {
  const fixture = Object.assign(makeFixture(), { segmentBytes: 1_500 });
  const log = await openLog(fixture);
  for (let index = 1; index <= 15; index += 1) {
    await log.append({
      hardState: hardState(1, 1, index - 1),
      entries: entries(index, index, 1, 400),
    });
  }
  await log.close();
  assert.equal((await segmentPaths(fixture)).length, 8);
  return fixture;
}

/** Returns a disk with the content of another one. */
function copyOf(fixture: LogFixture): LogFixture {
  return { ...fixture, medium: fixture.medium.image() };
}

async function assertRefused(fixture: LogFixture, place: string): Promise<void> {
  const before = fixture.medium.filesBelow("");
  // The second start must not accept what the first one has refused.
  for (const start of ["first", "second"]) {
    await assert.rejects(
      openLog(fixture, 15),
      (error) => {
        assert.ok(isAshlarError(error, "LOG_CORRUPT"), `${place}, ${start} start: ${error}`);
        assert.match(error.hint ?? "", /Keep this directory/);
        return true;
      },
      `${place}, ${start} start`,
    );
  }
  assert.deepEqual(fixture.medium.filesBelow(""), before, "nothing was changed");
}

describe("the end of the Raft log", () => {
  it("cannot be missing: any number of segments, although the state has their entries", async () => {
    const complete = await eightSegments();
    const paths = await segmentPaths(complete);
    for (let count = 1; count <= paths.length; count += 1) {
      const fixture = copyOf(complete);
      const disk = fixture.medium.mount();
      for (const path of paths.slice(-count)) await disk.remove(path);
      await assertRefused(fixture, `${count} segments are missing`);
    }
    const fixture = copyOf(complete);
    await fixture.medium.mount().removeTree("log");
    await assert.rejects(openLog(fixture, 15), hasCode("LOG_CORRUPT"));
    await assert.rejects(openLog(fixture, 15), hasCode("LOG_CORRUPT"), "at the next start");
  });

  it("cannot be an emptied segment", async () => {
    const complete = await eightSegments();
    const last = (await segmentPaths(complete)).at(-1) ?? "";
    const bytes = await bytesOf(complete, last);
    for (const length of [0, 1, 64, 127]) {
      const fixture = copyOf(complete);
      await fixture.medium.mount().writeFileDurably(last, bytes.slice(0, length));
      await assertRefused(fixture, `the last segment has ${length} bytes`);
    }
  });

  it("can be a segment whose creation a crash interrupted", async () => {
    const complete = await eightSegments();
    const before = contentOf(await openLog(copyOf(complete)));
    const next = "log/0000000000000009-0000000000000016.log";
    for (const length of [0, 1, 64, 127, 128]) {
      const fixture = copyOf(complete);
      await fixture.medium.mount().writeFileDurably(next, new Uint8Array(length));
      assert.deepEqual(contentOf(await openLog(fixture)), before);
    }
  });

  it("is a segment before which a crash can leave the record of the newest segment", async () => {
    const random = makeFixture().random;
    for (let crashAt = 1; crashAt < 120; crashAt += 1) {
      const acknowledged: number[] = [];
      let operations = 0;
      let isFailing = true;
      const medium = new MemoryDisk({
        fault: () => {
          operations += 1;
          return isFailing && operations >= crashAt ? "EIO" : null;
        },
      });
      const fixture = Object.assign(makeFixture(medium), { segmentBytes: 1_500 });
      try {
        const log = await openLog(fixture);
        for (let index = 1; index <= 8; index += 1) {
          await log.append({
            hardState: hardState(1, 1, 0),
            entries: entries(index, index, 1, 400),
          });
          acknowledged.push(index);
        }
      } catch (error) {
        assert.ok(isAshlarError(error), String(error));
      }
      isFailing = false;
      medium.crash(random);
      const log = await openLog(fixture);
      assert.ok(log.entries.lastIndex >= acknowledged.length, `crash at operation ${crashAt}`);
      await log.close();
    }
  });

  it("is recorded when a directory without the record is opened", async () => {
    const fixture = await eightSegments();
    const disk = fixture.medium.mount();
    await disk.remove(NEWEST);
    await (await openLog(fixture)).close();
    assert.match(new TextDecoder().decode(await bytesOf(fixture, NEWEST)), /"sequence":8/);
    await disk.remove((await segmentPaths(fixture)).at(-1) ?? "");
    await assertRefused(fixture, "the last segment is missing");
  });
});
