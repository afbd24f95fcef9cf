/** What breaks in the middle of things: KMS, the relay, the orchestrator, the enclave, and people's patience. */
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { accord, agree, at, callOf, callsLeft, contribute, enclaveProcesses, hardPicture, holdComputing, homeOf, keyOf, openPlace, parsed, takePart } from './collaboration.ts'; // prettier-ignore
import type { Agreement, Place } from './collaboration.ts';
import { kill, processesWith } from './processes.ts';
import type { Started } from './processes.ts';
import { cuttingProxy } from './cutting-proxy.ts';

let place: Place;
let agreement: Agreement;

beforeAll(async () => {
  place = await openPlace();
  agreement = await agree(place);
  await takePart(place, agreement, 'alice', 'bob');
  await contribute(place);
}, 240_000);
afterAll(() => place.close(), 60_000);

/** An enclave of the agreement runs, fresh, with Bob's model in it. */
async function fresh(): Promise<void> {
  await agree(place);
  await contribute(place);
}

/** Until the call waits for the enclave's computation, which is being held. */
async function computing({ stderr }: Started): Promise<void> {
  await expect.poll(stderr, { timeout: 30_000 }).toContain('the enclave computes');
}

const ANSWERED = { code: 0, out: expect.stringMatching(/^\{"labels":\[\{"label":"[a-z ]+","score":[0-9.]+\}\]\}\n$/) };

describe('KMS', () => {
  it('is gone: the call says so, and the same command is free once it is back', { timeout: 120_000 }, async () => {
    await kill(place.aws);
    const left = await accord(place, ...callOf(place, 'alice', 'alice-1'));
    expect(left).toMatchObject({ code: 40, out: '', err: expect.stringContaining('(aws/unreachable)') });
    expect(left.err).toContain('hint:');
    await place.startAws();
    const again = await accord(place, ...callOf(place, 'alice', 'alice-1'), '--json');
    expect(again).toMatchObject(ANSWERED);
    expect(again.err).toMatch(/^asking again for call [0-9a-f]{12} of .*: free, if it was counted\n/m);
    expect(await callsLeft(place, 'alice')).toBe(2);
  });

  it(
    'stops between the party and the enclave: the session is refused, nothing is spent',
    { timeout: 60_000 },
    async () => {
      // A fresh start, so that the enclave holds no connection to KMS. The party reaches KMS; where the relay looks for it
      // nobody answers any more.
      await kill(place.aws);
      await place.startAws();
      let dialled = 0;
      const dead = createServer((socket) => {
        dialled += 1;
        socket.on('error', () => {}).destroy();
      });
      await new Promise<void>((resolve) => dead.listen(0, '127.0.0.1', resolve));
      const address = dead.address();
      const port = typeof address === 'object' ? address?.port : undefined;
      const file = join(place.awsFolder, 'local-aws.json');
      const description = await readFile(file, 'utf8');
      await writeFile(file, JSON.stringify({ ...parsed(description), url: `https://127.0.0.1:${port}` }));
      const call = callOf(place, 'alice', 'alice-2');
      try {
        const refused = await accord(place, ...call, '--json');
        expect(refused).toMatchObject({ code: 40, out: expect.stringContaining('"refused":"kms-unavailable"') });
        expect(dialled).toBeGreaterThan(0);
        const said = await accord(place, ...call);
        expect(said).toMatchObject({ code: 40, out: '', err: expect.stringContaining('(enclave/kms-unavailable)') });
        expect(said.err).toContain('run the same command again');
      } finally {
        await writeFile(file, description);
        dead.close();
      }
      expect(await accord(place, ...call, '--json')).toMatchObject(ANSWERED);
      expect(await callsLeft(place, 'alice')).toBe(1);
    },
  );

  it(
    'accepts and never answers: the party gives up by itself, and Ctrl-C ends it at once',
    { timeout: 180_000 },
    async () => {
      place.aws.child.kill('SIGSTOP');
      try {
        const pinning = ['key-policy', '--key', keyOf('alice'), '--measurements', agreement.measurementsFile];
        const patient = accord(place, ...pinning, '--profile', 'alice', '--apply');
        const interrupted = place.start(...pinning, '--profile', 'alice', '--apply');
        setTimeout(() => interrupted.child.kill('SIGINT'), 2_000);
        expect(await interrupted.outcome).toMatchObject({ code: 130, out: '', err: 'accord: interrupted\n' });
        expect(await patient).toMatchObject({ code: 40, out: '', err: expect.stringContaining('(aws/unreachable)') });
      } finally {
        place.aws.child.kill('SIGCONT');
      }
    },
  );
});

describe('the relay', () => {
  it(
    'is cut when the answer is due: the same command has the answer, and no second ticket',
    { timeout: 60_000 },
    async () => {
      await fresh();
      const before = Number(await callsLeft(place, 'bob'));
      const proxy = await cuttingProxy(place.url);
      const config = join(homeOf(place, 'bob'), 'config.json');
      const direct = await readFile(config, 'utf8');
      await writeFile(config, direct.replace(new URL(place.url).host, new URL(proxy.url).host));
      const call = callOf(place, 'bob', 'bob-1');
      const cut = await accord(place, ...call);
      expect(proxy.cuts()).toBe(1);
      expect(cut).toMatchObject({ code: 40, out: '', err: expect.stringContaining('(coordinator/cut)') });
      expect(cut.err).toContain('costs nothing');
      await proxy.close();
      await writeFile(config, direct);
      expect(await callsLeft(place, 'bob')).toBe(before - 1); // the enclave had answered
      const again = await accord(place, ...call, '--json');
      expect(again).toMatchObject(ANSWERED);
      expect(again.err).toContain('asking again for call');
      expect(await callsLeft(place, 'bob')).toBe(before - 1);
    },
  );
});

describe('the orchestrator', () => {
  it(
    'is killed in a call: every later step says what to do, and the quota that is reset',
    { timeout: 180_000 },
    async () => {
      await fresh();
      expect(await callsLeft(place, 'alice')).toBe(1);
      const release = await holdComputing(place);
      const call = callOf(place, 'alice', await hardPicture(place));
      const calling = place.start(...call);
      await computing(calling);
      await kill(place.orchestrator);
      const cut = await calling.outcome;
      release();
      expect(cut).toMatchObject({ code: 40, out: '', err: expect.stringContaining('(coordinator/cut)') });

      const unreachable = await accord(place, ...call);
      expect(unreachable).toMatchObject({ code: 40, err: expect.stringContaining('(coordinator/unreachable)') });
      expect(unreachable.err).toContain('accord up');
      await expect.poll(() => enclaveProcesses(place, ''), { timeout: 20_000 }).toEqual([]);

      await place.startOrchestrator();
      const stopped = await accord(place, ...call);
      expect(stopped).toMatchObject({ err: expect.stringContaining('(orchestrator/not-running)') });
      expect(stopped.err).toMatch(/accord run/);
      expect(stopped.code).toBe(40);
      expect((await accord(place, 'console', agreement.id, '--orchestrator', place.url)).err).toContain(
        'start it again with `accord run POLICY`',
      );

      await agree(place);
      const noModel = await accord(place, ...call);
      expect(noModel).toMatchObject({ code: 10, err: expect.stringContaining('(enclave/no-model)') });
      expect(noModel.err).toContain('accord contribute');
      await contribute(place);
      expect(await accord(place, ...call, '--json')).toMatchObject(ANSWERED);

      // The enclave's memory went with it: the policy has no anchors, and whoever asks is told what that means.
      const quota = await accord(place, 'quota', ...at(place, 'alice'));
      expect(quota).toMatchObject({ code: 0, out: expect.stringContaining('2 of 3 calls left') });
      expect(quota.out.replaceAll(/\s+/g, ' ')).toMatch(/! .*restart/);
    },
  );
});

describe('the enclave', () => {
  it('is killed in a call: the console tells why it ended, and a new one answers', { timeout: 180_000 }, async () => {
    await holdComputing(place);
    const call = callOf(place, 'bob', await hardPicture(place));
    const calling = place.start(...call);
    await computing(calling);
    const [gate] = await enclaveProcesses(place, 'gate.mjs');
    expect(gate).toBeGreaterThan(0);
    process.kill(gate ?? Number.NaN, 'SIGKILL');
    expect(await calling.outcome).toMatchObject({
      code: 40,
      out: '',
      err: expect.stringContaining('(coordinator/cut)'),
    });
    // Jails that were held go with their gate.
    await expect.poll(() => enclaveProcesses(place, ''), { timeout: 20_000 }).toEqual([]);
    const where = ['--orchestrator', place.url];
    await expect
      .poll(async () => (await accord(place, 'console', agreement.id, ...where)).err, { timeout: 20_000 })
      .toMatch(/stopped: killed by SIGKILL \(by hand, or by the kernel for want of memory\); its last line: .*serving/);
    expect((await accord(place, 'ps', ...where)).out).toContain(`${agreement.id}  stopped  (killed by SIGKILL`);
    expect(place.orchestrator.child.exitCode).toBeNull();
    await fresh();
    expect(await accord(place, ...call, '--json')).toMatchObject(ANSWERED);
  });
});

describe('Ctrl-C', () => {
  it('in a call leaves nothing running, and the call is repeated for free', { timeout: 120_000 }, async () => {
    const before = Number(await callsLeft(place, 'alice'));
    const release = await holdComputing(place);
    const call = callOf(place, 'alice', await hardPicture(place));
    const calling = place.start(...call);
    await computing(calling);
    calling.child.kill('SIGINT');
    expect(await calling.outcome).toMatchObject({ code: 130, out: '', err: expect.stringContaining('interrupted') });
    release();
    expect(await processesWith(homeOf(place, 'alice'))).toEqual([]);
    const again = await accord(place, ...call, '--json');
    expect(again).toMatchObject(ANSWERED);
    expect(again.err).toContain('asking again for call');
    expect(await callsLeft(place, 'alice')).toBe(before - 1);
    const calls = await readdir(join(homeOf(place, 'alice'), 'calls'));
    expect(calls.filter((name) => !name.endsWith('.json'))).toEqual([]);
  });

  it('in a run leaves it to the orchestrator, and the same command goes on', { timeout: 180_000 }, async () => {
    const policy = join(place.folder, 'more-calls.yaml');
    await writeFile(policy, (await readFile(agreement.policyFile, 'utf8')).replace('alice: 3', 'alice: 4'));
    const running = ['run', policy, '--trust', join(place.awsFolder, 'trust.json'), '--orchestrator', place.url];
    const first = place.start(...running);
    await expect.poll(first.stderr, { timeout: 30_000 }).toContain('accord run:');
    first.child.kill('SIGINT');
    expect(await first.outcome).toMatchObject({
      code: 130,
      out: '',
      err: expect.stringMatching(/the orchestrator goes on (building, and starts nothing|starting the enclave)/),
    });
    expect(await processesWith(policy)).toEqual([]);
    const again = await accord(place, ...running, '--json');
    expect(again.code, again.err).toBe(0);
    expect(parsed(again.out)).toMatchObject({ state: 'running' });
  });
});
