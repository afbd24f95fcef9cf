/** What is said no to, by whom, and what is said: strangers, policies that are over or changed, documents that do not fit. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, readFile, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MODEL, accord, agree, at, callOf, callsLeft, contribute, homeOf, keyOf, makeHome, must, openPlace, parsed, picture, pin, takePart, trustOf } from './collaboration.ts'; // prettier-ignore
import type { Agreement, Place } from './collaboration.ts';

let place: Place;
let agreement: Agreement;

beforeAll(async () => {
  place = await openPlace();
  agreement = await agree(place);
  await takePart(place, agreement, 'alice', 'bob');
  await contribute(place);
}, 240_000);
afterAll(() => place.close(), 60_000);

/** The example's policy with something else in it. */
async function policyWith(name: string, from: string | RegExp, to: string): Promise<string> {
  const before = await readFile(agreement.policyFile, 'utf8');
  const after = before.replace(from, to);
  expect(after).not.toBe(before);
  const file = join(place.folder, `${name}.yaml`);
  await writeFile(file, after);
  return file;
}

describe('a party that the policy does not know', () => {
  it('gets no home', { timeout: 90_000 }, async () => {
    const where = ['--orchestrator', place.url, '--collaboration', agreement.id];
    const who = ['--party', 'charlie', '--key', keyOf('charlie'), '--home', join(place.folder, 'stranger')];
    const refused = await accord(place, 'init', ...who, ...where, '--measurements', agreement.measurementsFile);
    expect(refused).toMatchObject({ code: 10, out: '', err: expect.stringContaining('(init/unknown-party)') });
    expect(refused.err).toContain('it has alice, bob');
    const taken = await accord(place, 'init', '--party', 'alice', '--key', keyOf('charlie'), ...who.slice(4), ...where, '--measurements', agreement.measurementsFile); // prettier-ignore
    expect(taken).toMatchObject({ code: 10, err: expect.stringContaining('(init/other-key)') });
    expect(taken.err).toMatch(/one in eu-west-1 whose ARN has the hash [0-9a-f]{16}…/);
  });

  it(
    'gets none with the credentials of another party, and changes none without saying so',
    { timeout: 90_000 },
    async () => {
      const where = ['--orchestrator', place.url, '--collaboration', agreement.id, '--key', keyOf('alice')];
      const init = (profile: string, home: string, ...more: readonly string[]) =>
      accord(place, 'init', '--party', 'alice', '--profile', profile, '--home', home, ...where, '--measurements', agreement.measurementsFile, ...more); // prettier-ignore
      const fresh = join(place.folder, 'other-account');
      expect(await init('bob', fresh)).toMatchObject({
        code: 10,
        err: expect.stringContaining('(init/other-account)'),
      });
      expect(await init('alcie', fresh)).toMatchObject({
        code: 2,
        err: expect.stringContaining('(aws/no-such-profile)'),
      });
      expect(await init('alice', fresh)).toMatchObject({ code: 0 });
      const changed = await init('alice', fresh, '--enclave-role', 'arn:aws:iam::111122223333:role/other');
      expect(changed).toMatchObject({ code: 10, err: expect.stringContaining('(home/set-up-otherwise)') });
      expect(changed.err).toContain('enclaveRoleArn is ');
    },
  );

  it('is refused by the enclave where it made a home by itself', { timeout: 90_000 }, async () => {
    const forged = join(place.folder, 'forged');
    await cp(homeOf(place, 'alice'), forged, { recursive: true });
    const config = parsed(await readFile(join(forged, 'config.json'), 'utf8'));
    const role = String(config['enclaveRoleArn']).replace('111122223333', '777788889999');
    const own = { ...config, party: 'charlie', keyArn: keyOf('charlie'), profile: 'charlie', enclaveRoleArn: role };
    await writeFile(join(forged, 'config.json'), JSON.stringify(own));
    // Alice's name with Charlie's key and account: the policy in the home would let her call.
    const asked = await accord(place, 'quota', '--home', forged, '--json');
    expect(asked).toMatchObject({ code: 10, out: expect.stringContaining('"refused":"not-permitted"') });
    await writeFile(join(forged, 'config.json'), JSON.stringify({ ...own, party: 'alice' }));
    const called = await accord(place, 'call', 'classify', '--input', picture('alice-1'), '--home', forged);
    expect(called).toMatchObject({ code: 10, out: '', err: expect.stringContaining('this key belongs to no party') });
    expect(await callsLeft(place, 'alice')).toBe(3);
  });
});

describe('test data', () => {
  it('goes to no enclave but one in debug mode, and no key that opens to an image serves for it', async () => {
    const marked = await accord(place, ...callOf(place, 'alice', 'alice-1'), '--test-data');
    expect(marked).toMatchObject({ code: 10, out: '', err: expect.stringContaining('(session/not-debug)') });
    expect(await callsLeft(place, 'alice')).toBe(3);
    const model = await accord(place, 'contribute', 'classify', ...MODEL, ...at(place, 'bob'), '--test-data');
    expect(model).toMatchObject({ code: 10, out: '', err: expect.stringContaining('(aws/denied)') });
    // Whoever allows debug mode still has to be shown the pinned image.
    expect(await accord(place, 'quota', ...at(place, 'alice'), '--allow-debug')).toMatchObject({ code: 0 });
    expect(await accord(place, 'attest', ...at(place, 'alice'), '--allow-debug')).toMatchObject({ code: 0 });
  }, 90_000);
});

describe('a policy whose last day has passed', () => {
  it('is named as a weakening, and every call under it is refused', { timeout: 120_000 }, async () => {
    const file = await policyWith('over', /^until: .*$/m, 'until: 2026-01-31');
    const checked = await accord(place, 'check', file, ...trustOf(place), '--json');
    expect(checked.code).toBe(0);
    expect(parsed(checked.out)['weakenings']).toContainEqual({
      code: 'expired',
      text: 'Its last day (2026-01-31) has passed: every call will be refused.',
    });
    const over = await agree(place, file);
    await pin(place, over, 'alice', '--add');
    await makeHome(place, over, 'alice');
    const refused = await accord(place, ...callOf(place, 'alice', 'alice-1'), '--json');
    expect(refused).toMatchObject({ code: 10, out: expect.stringContaining('"refused":"expired"') });
    const said = await accord(place, ...callOf(place, 'alice', 'alice-1'));
    expect(said).toMatchObject({ code: 10, out: '', err: expect.stringContaining('(enclave/expired)') });
    expect(await callsLeft(place, 'alice')).toBe(3);
    await makeHome(place, agreement, 'alice');
    await must(place, 'stop', over.id, '--orchestrator', place.url);
  });
});

describe('a policy with another quota', () => {
  it('is another image: closed to every key until its owner pins it', { timeout: 180_000 }, async () => {
    const file = await policyWith('more-calls', 'alice: 3', 'alice: 5');
    const diff = await accord(place, 'diff', agreement.policyFile, file, ...trustOf(place));
    expect(diff).toMatchObject({ code: 0, err: '' });
    const words = diff.out.replaceAll(/\s+/g, ' ');
    expect(words).toContain('functions.classify.calls.alice: 3 → 5');
    expect(words).toContain('PCR0 and PCR2 change, and every key stays closed to it until');
    const changed = await agree(place, file);
    expect(changed.PCR0).not.toBe(agreement.PCR0);
    expect(changed.policyDigest).not.toBe(agreement.policyDigest);

    // The homes and keys still pin the image before.
    const moved = join(place.folder, 'moved');
    await cp(homeOf(place, 'alice'), moved, { recursive: true });
    const config = await readFile(join(moved, 'config.json'), 'utf8');
    await writeFile(join(moved, 'config.json'), config.replaceAll(agreement.id, changed.id));
    const mismatch = await accord(place, 'call', 'classify', '--input', picture('alice-1'), '--home', moved);
    expect(mismatch).toMatchObject({
      code: 10,
      out: '',
      err: expect.stringMatching(/\(attestation\/[a-z-]*mismatch\)/),
    });

    await makeHome(place, changed, 'alice');
    const refused = await accord(place, ...callOf(place, 'alice', 'alice-1'));
    expect(refused).toMatchObject({ code: 10, out: '', err: expect.stringContaining('accord key-policy') });
    expect(refused.err).toMatch(/\((enclave\/kms-refused|aws\/denied)\)/);

    const added = await pin(place, changed, 'alice', '--add');
    expect(added['applied']).toBe(true);
    expect(Object(added['change']).pinsAdded).toEqual([{ pcr0: changed.PCR0, policyDigest: changed.policyDigest }]);
    expect(Object(added['change']).pinsRemoved).toEqual([]);
    await pin(place, changed, 'bob', '--add');
    await makeHome(place, changed, 'bob');
    await contribute(place);
    expect(await callsLeft(place, 'alice')).toBe(5);
    expect((await accord(place, ...callOf(place, 'alice', 'alice-1'))).code).toBe(0);

    // Added, not replaced: the image before still opens. Without --add it no longer does.
    await makeHome(place, agreement, 'alice');
    expect(await callsLeft(place, 'alice')).toBe(3);
    await pin(place, changed, 'alice');
    const closed = await accord(place, 'quota', ...at(place, 'alice'), '--json');
    expect(closed.code).toBe(10);
    expect(closed.out).toMatch(/kms-refused|aws\/denied/);
    await pin(place, agreement, 'alice', '--add');
  });
});

describe('a document that does not prove what is asked', () => {
  it('says which check said no', { timeout: 180_000 }, async () => {
    const fresh = await must(place, 'attest', ...at(place, 'alice'), '--save', 'document');
    expect(fresh).toMatchObject({ valid: true, code: 'attestation/valid' });
    const root = ['--root', join(place.awsFolder, 'nsm', 'root.der')];
    const document = ['attest', '--document', 'document', '--json'];
    const made = new Date(String(fresh['timestamp']));
    const later = (ms: number): string => new Date(made.getTime() + ms).toISOString();
    const pcr0 = ['--pcr', `0=${agreement.PCR0}`];
    const cases: readonly (readonly [readonly string[], number, string])[] = [
      [[...root, ...pcr0, '--nonce', String(fresh['nonce']), '--at', 'document'], 0, 'attestation/valid'],
      [[...root, ...pcr0, '--nonce', '00'.repeat(32), '--at', 'document'], 10, 'attestation/nonce-mismatch'],
      [[...root, '--max-age', '30s', '--at', later(31_000)], 10, 'attestation/stale'],
      [[...root, '--at', later(-3_600_000)], 10, 'attestation/not-yet-valid'],
      [[...root, '--pcr', `0=${'ab'.repeat(48)}`], 10, 'attestation/pcr-mismatch'],
      [[...root, '--policy-digest', 'ab'.repeat(48)], 10, 'attestation/policy-mismatch'],
      [['--root', 'aws'], 10, 'attestation/unknown-root'],
    ];
    for (const [options, code, verdict] of cases) {
      const judged = await accord(place, ...document, ...options);
      expect({ options, code: judged.code, verdict: parsed(judged.out)['code'] }).toEqual({ options, code, verdict });
    }
  });
});

describe('an input', () => {
  it('is the same from a pipe; one that is too large or absent costs nothing', { timeout: 120_000 }, async () => {
    const input = await readFile(picture('alice-2'));
    const call = ['call', 'classify', ...at(place, 'alice')];
    const left = Number(await callsLeft(place, 'alice'));
    const file = await must(place, ...call, '--input', picture('alice-2'));
    await promisify(execFile)('mkfifo', [join(place.folder, 'pipe')]);
    const piped = accord(place, ...call, '--input', 'pipe', '--retry', await lastCall());
    await writeFile(join(place.folder, 'pipe'), input);
    expect(await piped).toMatchObject({ code: 0, err: expect.stringMatching(/asking again for call .*: free\n/) });
    expect(parsed((await piped).out)).toEqual(file);

    await writeFile(join(place.folder, 'large'), new Uint8Array(4_194_305));
    const large = await accord(place, ...call, '--input', 'large');
    expect(large).toMatchObject({ code: 10, out: '', err: expect.stringContaining('(call/input-too-large)') });
    expect(large.err).toContain('no call is spent');
    for (const [name, content] of [
      ['empty', ''],
      ['text', 'a picture, in words'],
    ] as const) {
      await writeFile(join(place.folder, name), content);
      const unreadable = await accord(place, ...call, '--input', name);
      expect(unreadable).toMatchObject({ code: 10, out: '', err: expect.stringContaining('(call/input-invalid)') });
      expect(unreadable.err).toContain('no call is spent');
    }
    const bare = await accord(place, ...call, '--retry', await lastCall());
    expect(bare).toMatchObject({ code: 2, err: expect.stringContaining('the same --input') });
    const absent = await accord(place, ...call, '--input', 'nowhere');
    expect(absent).toMatchObject({ out: '', err: expect.stringContaining('nowhere') });
    expect([2, 30, 40]).toContain(absent.code);
    expect(await callsLeft(place, 'alice')).toBe(left - 1);
  });
});

/** The id of the only call that Alice made with an answer. */
async function lastCall(): Promise<string> {
  const folder = join(homeOf(place, 'alice'), 'calls');
  const records = await Promise.all((await readdir(folder)).map(async (name) => parsed(await readFile(join(folder, name), 'utf8')))); // prettier-ignore
  const inputSha256 = createHash('sha256')
    .update(await readFile(picture('alice-2')))
    .digest('hex');
  return String(records.find((record) => record['inputSha256'] === inputSha256)?.['requestId']);
}

describe('a place that is taken', () => {
  it('names the port, and how to take another', { timeout: 90_000 }, async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? String(address?.port) : '';
    try {
      const aws = await accord(place, 'local-aws', '--data', 'other-aws', '--port', port);
      expect(aws).toMatchObject({ code: 40, out: '', err: expect.stringContaining('(local-aws/port)') });
      expect(aws.err).toMatch(new RegExp(`port ${port} is in use[\\s\\S]*hint: .*--port`));
      const up = await accord(place, 'up', '--local-aws', place.awsFolder, '--data', 'other', '--port', port);
      expect(up).toMatchObject({ code: 40, out: '', err: expect.stringContaining('(orchestrator/port-in-use)') });
      expect(up.err).toMatch(new RegExp(`127\\.0\\.0\\.1:${port}[\\s\\S]*hint: .*--port`));
    } finally {
      server.close();
    }
  });

  it('names the folder, and the process that has it', { timeout: 90_000 }, async () => {
    const up = await accord(place, 'up', '--local-aws', place.awsFolder, '--data', place.dataFolder, '--port', '0');
    expect(up).toMatchObject({ code: 40, out: '', err: expect.stringContaining('(store/locked)') });
    expect(up.err).toContain(`pid ${place.orchestrator.pid}`);
    expect(up.err).toContain(place.dataFolder);
    const aws = await accord(place, 'local-aws', '--data', place.awsFolder, '--port', '0');
    expect(aws).toMatchObject({ code: 40, out: '', err: expect.stringContaining('(store/locked)') });
    expect(aws.err).toContain(`pid ${place.aws.pid}`);
    expect(aws.err).toContain(place.awsFolder);
  });
});
