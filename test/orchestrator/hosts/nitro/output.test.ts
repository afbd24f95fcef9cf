import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nitroCliFailure } from '../../../../orchestrator/hosts/nitro/errors.ts';
import { readListed, readStarted, readTerminated } from '../../../../orchestrator/hosts/nitro/output.ts';

const recorded = (name: string): Promise<string> => readFile(join(import.meta.dirname, 'recorded', name), 'utf8');
const ID = 'i-0f1e2d3c4b5a69788-enc19318d44ab3e1c0';

describe('what nitro-cli prints', () => {
  it('of an enclave that it started', async () => {
    expect(readStarted(await recorded('run-enclave.json'))).toEqual({ id: ID, cid: 16, cpus: 2, memoryMiB: 1600 });
  });

  it('of all enclaves, with names, measurements and debug mode', async () => {
    const [ours, other] = readListed(await recorded('describe-enclaves.json'));
    expect(ours).toMatchObject({ id: ID, cid: 16, state: 'RUNNING', isDebug: false });
    expect(ours?.name).toBe('accord-0a1b2c3d4e5f-screening-4f2a91c07d3e-7be210');
    expect(Object.keys(ours?.measurements ?? {})).toEqual(['PCR0', 'PCR1', 'PCR2']);
    expect(other).toMatchObject({ name: 'hello', state: 'TERMINATING', isDebug: true });
    expect(readListed(await recorded('describe-enclaves-none.json'))).toEqual([]);
  });

  it('of versions that knew neither names nor measurements', async () => {
    const [one] = readListed(await recorded('describe-enclaves-1.0.json'));
    expect(one).toMatchObject({ id: ID, name: undefined, measurements: undefined });
  });

  it('of an enclave that it ended, and of no other', async () => {
    const said = await recorded('terminate-enclave.json');
    expect(readTerminated(said, ID)).toBe(true);
    expect(readTerminated(said, 'i-0f1e2d3c4b5a69788-enc1')).toBe(false);
    expect(readTerminated(said.replace('true', 'false'), ID)).toBe(false);
  });

  it('is refused where a member is missing, of another type, or out of its range', async () => {
    const started: Record<string, unknown> = JSON.parse(await recorded('run-enclave.json'));
    const tampered = (change: Record<string, unknown>): string => JSON.stringify({ ...started, ...change });
    for (const change of [
      { EnclaveID: undefined },
      { EnclaveID: '; rm -rf /' },
      { EnclaveID: '--all' },
      { EnclaveCID: '16' },
      { EnclaveCID: 3 },
      { EnclaveCID: 2 ** 32 },
      { EnclaveCID: 16.5 },
      { NumberOfCPUs: null },
      { MemoryMiB: -1 },
    ]) {
      expect(() => readStarted(tampered(change)), JSON.stringify(change)).toThrow(
        expect.objectContaining({ code: 'host/nitro-cli-output', kind: 'malformed' }),
      );
    }
    const [ours = {}]: readonly Record<string, unknown>[] = JSON.parse(await recorded('describe-enclaves.json'));
    for (const change of [
      { State: 'SLEEPING' },
      { Flags: 'SOME' },
      { Measurements: { PCR0: 'AB' } },
      { Measurements: [] },
    ]) {
      expect(() => readListed(JSON.stringify([{ ...ours, ...change }])), JSON.stringify(change)).toThrow(
        expect.objectContaining({ code: 'host/nitro-cli-output' }),
      );
    }
    expect(() => readListed('{}')).toThrow(expect.objectContaining({ code: 'host/nitro-cli-output' }));
    expect(() => readTerminated(`{"EnclaveID":"${ID}","Terminated":"yes"}`, ID)).toThrow(/true or false/);
  });

  it('never ends in anything but a value or a failure, whatever it is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (said) => {
        for (const read of [readStarted, readListed, (text: string) => readTerminated(text, ID)]) {
          try {
            read(said);
          } catch (error) {
            expect(error).toMatchObject({ code: 'host/nitro-cli-output' });
          }
        }
      }),
    );
  });
});

describe('what nitro-cli fails with', () => {
  it.each([
    ['E19', /a file cannot be used \(E19\); File: '\/dev\/nitro_enclaves'/, /enabled for Nitro Enclaves/],
    ['E22', /not enough CPUs are set aside/, /allocator\.yaml/],
    ['E26', /less memory than its image needs/, /enclave\.memoryMiB/],
    ['E27', /not enough memory is set aside/, /allocator\.yaml/],
    ['E36', /no heartbeat came/, /accord measure IMAGE/],
  ])('%s is told by its cause, with what to do and where the log is', async (code, message, hint) => {
    const failure = nitroCliFailure('run-enclave', 1, await recorded(`${code}.stderr`));
    expect(failure).toMatchObject({ code: 'host/nitro-cli-failed', kind: 'environment' });
    expect(failure.message).toMatch(message);
    expect(failure.message).not.toContain('E39');
    expect(failure.hint).toMatch(hint);
    expect(failure.where).toMatch(/^\/var\/log\/nitro_enclaves\/err2026-11-20T10:02:00\.293/);
  });

  it('is told in its own words where the code is new, and without a code at all', async () => {
    expect(nitroCliFailure('run-enclave', 1, '[ E99 ] Something new.\n').message).toMatch(/Something new\. \(E99\)/);
    expect(nitroCliFailure('run-enclave', 101, "thread 'main' panicked").message).toMatch(/code 101: thread/);
    expect(nitroCliFailure('run-enclave', null, '').message).toMatch(/was killed and said nothing/);
    expect(nitroCliFailure('run-enclave', 1, await recorded('E56.stderr')).hint).toMatch(/group ne/);
  });
});
