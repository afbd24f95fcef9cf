/**
 * What every host promises, asked of each in the same words. A host's own test names how its images are made and how one
 * of its enclaves is killed from outside.
 */
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { frameReader, writeFrame } from '../../../enclave/protocol/frame.ts';
import { measureEif } from '../../../build/measure/pcr.ts';
import type { EnclaveHost, HostServices, LaunchSpec, RunningEnclave } from '../../../orchestrator/hosts/host.ts';
import { jsonFields } from '../../../parties/json-fields.ts';
import type { Fields } from '../../../parties/json-fields.ts';
import { exchangePattern, patternSha256 } from './pattern.ts';

export interface Subject {
  /** A host as an orchestrator has it; one is made for each test. */
  readonly host: () => EnclaveHost;
  /** Path of an image of the conformance gate. */
  readonly image: (mode: 'serves' | 'silent') => Promise<string>;
  /** Kills what is this enclave from the point of view of the machine, without asking the host. */
  readonly kill: (enclave: RunningEnclave) => Promise<void>;
  /** What the end of such an enclave is told as. Default: `SIGKILL`. */
  readonly killed?: string;
  /** Processes and files that are left when all enclaves have ended: none. */
  readonly leftovers: () => Promise<readonly string[]>;
  /** Measured into PCR3 and PCR4. */
  readonly roleArn: string;
  readonly instanceId: string;
}

const MEMORY_MIB = 448;
const MiB = 1024 * 1024;

export function describeConformance(name: string, subject: () => Subject): void {
  const running: RunningEnclave[] = [];

  async function launch(services: HostServices = {}): Promise<RunningEnclave> {
    const enclave = await subject()
      .host()
      .launch(await spec('serves'), services);
    running.push(enclave);
    return enclave;
  }
  async function spec(mode: 'serves' | 'silent'): Promise<LaunchSpec> {
    return { collaboration: 'conformance', eifPath: await subject().image(mode), memoryMiB: MEMORY_MIB, cpus: 1 };
  }

  // Emulated machines share few cores with whatever else runs.
  describe(`the ${name} host, like every host`, { timeout: 300_000 }, () => {
    afterEach(async () => {
      for (const enclave of running.splice(0)) await enclave.terminate();
      expect(await subject().leftovers()).toEqual([]);
    });

    it('launches, describes, connects, shows the console and terminates', async () => {
      const enclave = await launch();
      const { PCR0, PCR1, PCR2 } = await measureEif(await subject().image('serves'));
      expect(enclave.describe()).toMatchObject({
        host: name,
        measurements: { PCR0, PCR1, PCR2 },
        state: { phase: 'running' },
      });
      expect((await ask(enclave, 'environment')).text('policy')).toBe('{"a":"b c"}');
      expect(enclave.console()).toContain('{"accord":"booted"}');
      expect(enclave.console()).toContain('{"accord":"serving","port":5000}');
      await Promise.all([enclave.terminate(), enclave.terminate()]);
      const end = { reason: 'terminated by the coordinator' };
      expect(await enclave.ended).toMatchObject(end);
      expect(enclave.describe().state).toMatchObject({ phase: 'ended', ...end });
      await expect(enclave.connect(5000)).rejects.toMatchObject({ code: 'host/enclave-gone' });
    });

    it('tells what a program did that left by itself', async () => {
      const enclave = await launch();
      await ask(enclave, 'exit');
      expect(await enclave.ended).toMatchObject({ exitCode: 7, reason: expect.stringContaining('exited with code 7') });
    });

    it('tells that an enclave was killed from outside', async () => {
      const enclave = await launch();
      await subject().kill(enclave);
      expect(await enclave.ended).toMatchObject({ reason: expect.stringContaining(subject().killed ?? 'SIGKILL') });
    });

    it('carries what the enclave asks of its host to the handler, and the answer back, byte for byte', async () => {
      const enclave = await launch({ 8001: answerPattern });
      expect((await ask(enclave, 'host', 3 * MiB)).text('sha256')).toBe(patternSha256(3 * MiB));
    });

    it('carries large transfers both ways at once, byte for byte', async () => {
      const enclave = await launch();
      const connection = await open(enclave, 'exchange', 4 * MiB);
      expect(await exchangePattern(connection, 4 * MiB)).toBe(patternSha256(4 * MiB));
      expect((await reply(connection)).text('sha256')).toBe(patternSha256(4 * MiB));
    });

    it('carries many connections at once, none in the way of another', async () => {
      const enclave = await launch({ 8001: answerPattern });
      const idle = await Promise.all(Array.from({ length: 16 }, () => enclave.connect(5000)));
      const replies = await Promise.all(
        Array.from({ length: 24 }, (_, index) => ask(enclave, 'host', 10_000 + 7_000 * index)),
      );
      expect(replies.map((fields) => fields.text('sha256'))).toEqual(
        replies.map((_, index) => patternSha256(10_000 + 7_000 * index)),
      );
      for (const connection of idle) connection.destroy();
    });

    it('gives it a security module that knows the measurements of the very image, its role and its instance', async () => {
      const enclave = await launch();
      const { PCR0, PCR1, PCR2 } = await measureEif(await subject().image('serves'));
      const pcrs = (await ask(enclave, 'measurements')).text('pcrs').split(' ');
      expect(pcrs).toEqual([PCR0, PCR1, PCR2, extendOnce(subject().roleArn), extendOnce(subject().instanceId)]);
    });

    it('leaves nothing of a launch that is aborted', async () => {
      const reason = new Error('never mind');
      const controller = new AbortController();
      const launched = subject()
        .host()
        .launch(await spec('silent'), {}, controller.signal);
      setTimeout(() => controller.abort(reason), 1_500);
      await expect(launched).rejects.toBe(reason);
    });
  });
}

/** One question to the gate, and its answer. */
export async function ask(enclave: RunningEnclave, what: string, bytes = 0): Promise<Fields> {
  return reply(await open(enclave, what, bytes));
}

async function open(enclave: RunningEnclave, what: string, bytes: number): Promise<Duplex> {
  const connection = await enclave.connect(5000);
  connection.on('error', () => {}); // the gate may crash for its answer
  await writeFrame(connection, Buffer.from(JSON.stringify({ ask: what, bytes })));
  return connection;
}

async function reply(connection: Duplex): Promise<Fields> {
  const body = await frameReader(connection).readFrame();
  connection.destroy();
  return jsonFields(JSON.parse(Buffer.from(body ?? []).toString()), 'test/answer', 'answer');
}

/** A host service: told how many bytes, it takes so many and gives as many. */
function answerPattern(connection: Duplex): void {
  connection.on('error', () => {});
  const serve = async (): Promise<void> => {
    const question = await frameReader(connection).readFrame();
    const bytes = jsonFields(JSON.parse(Buffer.from(question ?? []).toString()), 'test/question', 'question').count(
      'bytes',
    );
    await exchangePattern(connection, bytes);
  };
  serve().then(
    () => connection.end(),
    () => connection.destroy(),
  );
}

/** A PCR extended once from zeros. */
function extendOnce(text: string): string {
  return createHash('sha384').update(Buffer.alloc(48)).update(text).digest('hex');
}
