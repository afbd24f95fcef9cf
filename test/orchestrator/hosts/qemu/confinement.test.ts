/** The real image on its own kernel, in QEMU's Nitro machine: what holds its jails, and that they compute nevertheless. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Failure } from '../../../../policies/failure.ts';
import { openMachines, whyAbsent } from '../../../bench/machines.ts';
import type { Image, Machine, Machines } from '../../../bench/machines.ts';
import { call, found } from '../../../bench/parties.ts';
import { example, policyOf } from '../../../bench/samples.ts';
import { keptMachine } from '../../../build/init/kept.ts';

const CALLS = 10;
const TRIES = 4;
const kept = await keptMachine();
const machines: Machines | string = typeof kept === 'string' ? kept : await openMachines().catch(absent);
if (typeof machines === 'string') console.log(`skipped, what holds the jails of the real image: ${machines}`);

function absent(error: unknown): string {
  const why = whyAbsent(error);
  if (why === undefined) throw error;
  return why;
}

/** An emulated machine that still starts its jails may take longer to greet than a session waits. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (tries === TRIES || !(error instanceof Failure) || error.code !== 'session/closed') throw error;
    }
  }
}

describe.skipIf(typeof machines === 'string')('the jails of the real image', { timeout: 300_000 }, () => {
  const subject = example();
  let image: Image;
  let machine: Machine;
  beforeAll(async () => {
    if (typeof machines === 'string') return;
    image = await machines.build(policyOf(subject.uses, CALLS, machines.aws.trust));
    machine = await machines.launch(image, { memoryMiB: image.sizing.memoryMiB });
  }, 300_000);
  afterAll(async () => {
    if (typeof machines !== 'string') await machines.close();
  });

  it('are held by everything that there is to hold them', () => {
    const line = machine.enclave.console().find((one) => one.startsWith('{"accord":"serving"'));
    const confinement = { user: true, namespaces: true, seccomp: true, limits: true, cgroup: true };
    expect(JSON.parse(line ?? '{}')).toMatchObject({ accord: 'serving', confinement });
  });

  it('compute: a model is tried in them, and two calls give the same answer', async () => {
    await patiently(() => machine.contribute(subject));
    const session = await patiently(() => machine.openSession('alice'));
    const first = await call(session, subject.picture);
    expect(found(first)).toBe(1);
    expect(await call(session, subject.picture)).toBe(first);
    await session.close();
    expect(machine.enclave.describe().state).toMatchObject({ phase: 'running' });
  });
});
