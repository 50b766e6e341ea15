import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RemovedServers } from "../../../master/fleet/removed-servers.ts";
import { stamped } from "../../../master/namespace/command.ts";
import {
  at,
  chunksContent,
  OWNER,
  sealed,
  serverId,
  TestStateMachine,
} from "../namespace/harness.ts";

const server = { serverId: serverId("s1"), address: "s1:1", host: "s1", rack: "r" };

describe("the records of a removed server", () => {
  it("are removed in bounded steps, also those of a commit after the removal", async () => {
    const machine = await TestStateMachine.make();
    const { namespace, nowMs } = machine;
    const put = (file: number): void => {
      const chunks = Array.from({ length: 300 }, (_, number) => sealed(`${file}x${number}`));
      const content = chunksContent(...chunks);
      machine.run({ kind: "put", target: at(`/${file}`), content, replace: false, ...OWNER });
    };
    const left = (): number => namespace.chunksOfServer(server.serverId, null, 9_999).length;
    let entries = 0;
    const removed = new RemovedServers({
      state: () => namespace,
      propose: async (command) => {
        entries += 1;
        return machine.apply(stamped(command, nowMs));
      },
    });
    machine.apply({ kind: "register-server", nowMs, server });
    for (let file = 0; file < 4; file += 1) put(file);
    await removed.step();
    assert.equal(entries, 0, "no server was removed");
    machine.apply({ kind: "remove-server", nowMs, serverId: server.serverId, recordsMax: 0 });
    assert.equal(left(), 1_200);
    await removed.step();
    assert.deepEqual([left(), entries], [0, 3]);
    put(4);
    await removed.step();
    assert.deepEqual([left(), entries], [0, 4]);
  });
});
