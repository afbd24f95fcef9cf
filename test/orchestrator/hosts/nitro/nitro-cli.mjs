#!/usr/bin/env node
// A stand-in of nitro-cli: the same verbs, options, outputs and exit codes, with a process for an enclave. What it knows
// stands in the folder NITRO_STAND_IN: pool.json (resources and planned faults), <id>.json for each enclave.
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const state = process.env.NITRO_STAND_IN;
const pool = JSON.parse(readFileSync(join(state, 'pool.json'), 'utf8'));
const [verb, ...rest] = process.argv.slice(2);
const text = { type: 'string' };
const flag = { type: 'boolean', default: false };
appendFileSync(join(state, 'calls.txt'), `${process.argv.slice(2).join(' ')}\n`);

/** Prints as nitro-cli does: the cause, and what followed from it. */
function fail(code, what) {
  const block = (number, sentence) =>
    `[ ${number} ] ${sentence}\n\nFor more details, please visit https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html#${number}\n\n` +
    `If you open a support ticket, please provide the error log found at "/var/log/nitro_enclaves/err-stand-in-${number}.log"\n`;
  process.stderr.write(
    `${block(code, what)}Failed connections: 1\n${block('E39', 'Enclave process connection failure.')}`,
  );
  process.exit(1);
}

const print = (value) => process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
};

function enclaves() {
  const found = [];
  for (const name of readdirSync(state).filter((name) => name.startsWith('i-') && name.endsWith('.json'))) {
    const info = JSON.parse(readFileSync(join(state, name), 'utf8'));
    if (isAlive(info.ProcessID)) found.push(info);
    else rmSync(join(state, name));
  }
  return found;
}

/** PCR0, 1 and 2 of an EIF, by a reader that shares no code with Accord's. */
function measure(image) {
  const hashes = [0, 1, 2].map(() => createHash('sha384'));
  let ramdisks = 0;
  for (let i = 0; i < image.readUInt16BE(26); i++) {
    const at = Number(image.readBigUInt64BE(0x1c + 8 * i)) + 12;
    const content = image.subarray(at, at + Number(image.readBigUInt64BE(0x11c + 8 * i)));
    const type = image.readUInt16BE(at - 12);
    if (type < 1 || type > 3) continue;
    hashes[0].update(content);
    const isBoot = type !== 3 || ramdisks++ === 0;
    hashes[isBoot ? 1 : 2].update(content);
  }
  const pcr = (hash) => createHash('sha384').update(Buffer.alloc(48)).update(hash.digest()).digest('hex');
  const [PCR0, PCR1, PCR2] = hashes.map(pcr);
  return { HashAlgorithm: 'Sha384 { ... }', PCR0: pool.wrongPcr0 ?? PCR0, PCR1, PCR2 };
}

const verbs = {
  '--version': async () => process.stdout.write('Nitro CLI 1.4.2\n'),

  async 'run-enclave'() {
    const { values } = parseArgs({
      args: rest,
      options: {
        'eif-path': text,
        memory: text,
        'cpu-count': text,
        'enclave-name': text,
        'enclave-cid': text,
        'debug-mode': flag,
      },
    });
    // Two at once fail, as those of AWS do.
    const lock = join(state, 'starting');
    try {
      closeSync(openSync(lock, 'wx'));
    } catch {
      fail('E36', 'Enclave boot failure.');
    }
    process.on('exit', () => rmSync(lock, { force: true }));
    const [memory, cpus] = [Number(values.memory), Number(values['cpu-count'])];
    const used = (name) => enclaves().reduce((sum, info) => sum + info[name], 0);
    if (cpus > pool.cpus - used('NumberOfCPUs')) fail('E22', 'Insufficient CPUs available in the pool.');
    const least = Math.ceil(((pool.ratio ?? 4) * statSync(values['eif-path']).size) / (1 << 20));
    if (memory < least) fail('E26', `Insufficient memory requested. User provided \`memory\` is ${memory} MB`);
    process.stderr.write('Start allocating memory...\n');
    if (memory > pool.memoryMiB - used('MemoryMiB')) fail('E27', 'Insufficient memory available.');

    const image = readFileSync(values['eif-path']);
    const cids = new Set(enclaves().map((info) => info.EnclaveCID));
    const cid = [...Array(64).keys()].map((n) => n + 16).find((n) => !cids.has(n));
    const id = `i-0f1e2d3c4b5a69788-enc${randomBytes(8).toString('hex')}`;
    const MODE = /MODE=([a-z-]+)/.exec(image.toString('latin1'))?.[1] ?? 'serves';
    const output = openSync(join(state, `${id}.console`), 'a');
    const { program, place = [] } = pool.images ?? { program: join(import.meta.dirname, 'enclave.mjs') };
    const child = spawn(process.execPath, [program, state, id, String(cid), values['eif-path'], ...place], {
      detached: true,
      env: { MODE },
      stdio: ['ignore', output, output],
    });
    const info = {
      EnclaveName: values['enclave-name'],
      EnclaveID: id,
      ProcessID: child.pid,
      EnclaveCID: cid,
      NumberOfCPUs: cpus,
      CPUIDs: [...Array(cpus).keys()].map((n) => 2 * n + 1),
      MemoryMiB: memory,
    };
    const more = {
      State: 'RUNNING',
      Flags: values['debug-mode'] ? 'DEBUG_MODE' : 'NONE',
      ...(pool.isOld ? {} : { Measurements: measure(image) }),
    };
    writeFileSync(join(state, `${id}.json`), JSON.stringify({ ...info, ...more }));
    process.stderr.write(`Started enclave with enclave-cid: ${cid}, memory: ${memory} MiB, cpu-ids: [1, 3]\n`);
    for (let waited = 0; !existsSync(join(state, `${id}.heartbeat`)); waited += 20) {
      if (waited > (pool.heartbeatMs ?? 5000)) {
        if (!pool.leavesItRunning) process.kill(child.pid, 'SIGKILL');
        fail('E36', 'Enclave boot failure.');
      }
      await sleep(20);
    }
    if (pool.garbled) process.stdout.write('{"EnclaveID": 7}\n');
    else print(info);
    process.exit(0);
  },

  async 'describe-enclaves'() {
    if (existsSync(join(state, 'deaf'))) fail('E38', 'Enclave process command not executed error.');
    print(enclaves());
  },

  async 'terminate-enclave'() {
    const { values } = parseArgs({ args: rest, options: { 'enclave-id': text } });
    const info = enclaves().find((one) => one.EnclaveID === values['enclave-id']);
    if (info === undefined) fail('E11', 'Socket error.');
    if (existsSync(join(state, 'immortal'))) fail('E38', 'Enclave process command not executed error.');
    process.kill(info.ProcessID, 'SIGKILL');
    while (isAlive(info.ProcessID)) await sleep(5);
    process.stderr.write(`Successfully terminated enclave ${info.EnclaveID}.\n`);
    print({ EnclaveName: info.EnclaveName, EnclaveID: info.EnclaveID, Terminated: true });
  },

  async console() {
    const { values } = parseArgs({ args: rest, options: { 'enclave-id': text } });
    const info = enclaves().find((one) => one.EnclaveID === values['enclave-id']);
    if (info?.Flags !== 'DEBUG_MODE') fail('E44', 'Enclave console connection failure.');
    process.stdout.write(
      `Connecting to the console for enclave ${info.EnclaveCID}...\nSuccessfully connected to the console.\n`,
    );
    for (let shown = 0; isAlive(info.ProcessID); await sleep(20)) {
      const all = readFileSync(join(state, `${info.EnclaveID}.console`), 'utf8');
      process.stdout.write(all.slice(shown));
      shown = all.length;
    }
  },
};

await verbs[verb]();
