/**
 * What runs in the images of the conformance test, over the enclave's own transports. Each connection to port 5000 asks
 * one thing in a frame of JSON and is answered by a frame of JSON; nothing relies on a half-closed stream.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { createNsm } from '../../../enclave/attest/device.ts';
import type { Timers } from '../../../enclave/deadline.ts';
import { frameReader, writeFrame } from '../../../enclave/protocol/frame.ts';
import { openTransport } from '../../../enclave/transport.ts';
import { jsonFields } from '../../../parties/json-fields.ts';
import { exchangePattern } from './pattern.ts';

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const timers: Timers = (milliseconds, run) => {
  const timer = setTimeout(run, milliseconds);
  return () => clearTimeout(timer);
};
const never = new AbortController().signal;
const line = readFileSync(fileURLToPath(new URL('./transport', import.meta.url)), 'latin1');
const { nsm: carrier, vsock } = await openTransport(line, 'run', timers);
const nsm = createNsm(carrier);

async function answer(asked: string, connection: Duplex, bytes: number): Promise<object> {
  switch (asked) {
    case 'measurements': {
      const pcrs = await Promise.all([0, 1, 2, 3, 4].map((index) => nsm.describePcr(index)));
      return { pcrs: pcrs.map((pcr) => Buffer.from(pcr).toString('hex')).join(' ') };
    }
    case 'attest': {
      const document = await nsm.attest({ userData: Buffer.from('conformance'), nonce: Buffer.alloc(32, 7) });
      return { document: Buffer.from(document).toString('base64') };
    }
    case 'environment':
      return { names: Object.keys(process.env).sort(), policy: process.env['ACCORD_POLICY'] };
    case 'exchange': // so many bytes in and as many out, at the same time
      return { sha256: await exchangePattern(connection, bytes) };
    case 'host': {
      const stream = await vsock.dial(8001, never);
      try {
        await writeFrame(stream, Buffer.from(JSON.stringify({ bytes })));
        return { sha256: await exchangePattern(stream, bytes) };
      } finally {
        stream.destroy();
      }
    }
    case 'exit':
      process.stderr.write('about to leave\n');
      setTimeout(() => process.exit(7), 50);
      return {};
    case 'crash':
      setTimeout(() => process.kill(process.pid, 'SIGSEGV'), 50);
      return {};
    case 'devour': {
      const eaten: Buffer[] = [];
      setInterval(() => eaten.push(Buffer.alloc(8 * 1024 * 1024, createHash('sha1').digest())), 1);
      return {};
    }
    default:
      return { error: `unknown: ${asked}` };
  }
}

async function serve(connection: Duplex): Promise<void> {
  const frame = await frameReader(connection, 1024).readFrame();
  if (frame === undefined) return;
  const fields = jsonFields(JSON.parse(Buffer.from(frame).toString()), 'test/question', 'question');
  const reply = await answer(fields.text('ask'), connection, fields.count('bytes'));
  await writeFrame(connection, Buffer.from(JSON.stringify(reply)));
}

// The local host's sign that it is gone.
if (line === 'local\n') process.stdin.on('end', () => process.exit(0)).resume();
say({ accord: 'booted' });
if (process.env['MODE'] !== 'silent') {
  await vsock.listen(5000, (connection) => {
    serve(connection).catch(() => connection.destroy());
  });
  say({ accord: 'serving', port: 5000 });
}
setInterval(() => {}, 60_000);
