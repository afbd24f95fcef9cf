/** What the coordinator's verbs say of enclaves that run, of how many may, and of numbers that none of them has. */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verb as consoleVerb } from '../../../orchestrator/cli/console.ts';
import { verb as run } from '../../../orchestrator/cli/run.ts';
import { verb as stop } from '../../../orchestrator/cli/stop.ts';
import type { Outcome } from '../../parties/cli/run-verb.ts';
import { runVerb } from '../../parties/cli/run-verb.ts';
import { policyText } from '../harness.ts';

const ID = 'screening-0123456789ab';

let cwd: string;
let server: Server;
let url: string;
/** How many enclaves of the collaboration run. */
let copies: number;
const asked: string[] = [];
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'accord-run-'));
  await writeFile(join(cwd, 'policy.json'), policyText(undefined));
  server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ id: ID, state: copies === 0 ? 'built' : 'running', copies, measurements: null }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
});
afterAll(async () => {
  server.close();
  await rm(cwd, { recursive: true, force: true });
});

const accordRun = (...argv: readonly string[]): Promise<Outcome> =>
  runVerb('run', run, ['policy.json', '--orchestrator', url, ...argv], { cwd });

describe('accord run', () => {
  it.each([
    [0, '1', /starting the enclave…/],
    [1, '1', /it runs already\n/],
    [3, '1', /it runs already\n/],
    [1, '3', /1 of 3 enclaves run already; starting the others…/],
  ])('with %i enclaves that run, asked for %s, says what it does', async (running, wanted, message) => {
    copies = running;
    const { code, err } = await accordRun('--copies', wanted);
    expect({ code, err }).toEqual({ code: 0, err: expect.stringMatching(message) });
    if (running > 0) expect(err).not.toContain('starting the enclave');
    expect(asked.at(-1)).toBe(`POST /v1/collaborations/${ID}/launch?copies=${wanted}`);
  });

  it.each(['0', '9', 'two'])('takes --copies %s for a wrong call, with the true bounds', async (wanted) => {
    const { code, err } = await accordRun('--copies', wanted);
    expect({ code, err }).toEqual({
      code: 2,
      err: expect.stringContaining(`--copies takes a whole number from 1 to 8, not "${wanted}"`),
    });
  });
});

describe.each([
  ['stop', stop],
  ['console', consoleVerb],
] as const)('accord %s', (name, verb) => {
  it.each(['0', '9', 'two'])('takes --copy %s for a wrong call, with the true bounds', async (copy) => {
    const { code, err } = await runVerb(name, verb, [ID, '--copy', copy, '--orchestrator', url], { cwd });
    expect({ code, err }).toEqual({
      code: 2,
      err: expect.stringContaining(`--copy takes a whole number from 1 to 8, not "${copy}"`),
    });
  });
});
