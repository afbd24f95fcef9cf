/**
 * What runs in the machine of the relay's figures, over the enclave's own transports. A connection to port 5000 asks one
 * thing in a frame of JSON and is answered, when it is done, by a frame of JSON.
 *
 *     { ask: "send" / "take", bytes, port, through }   moves so many bytes to or from the far end on `port` (far-end.ts):
 *                                                      through 0, the relay; or a vsock port of the host that leads there
 *     { ask: "decrypt", times, keyArn, ciphertext, context, credentials }    so many attested KMS calls at once; answered
 *                                                                            with the milliseconds of each
 */
import { readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { rootCertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { createNsm } from '../../enclave/attest/device.ts';
import { connectAws } from '../../enclave/kms/connect.ts';
import { frameReader, writeFrame } from '../../enclave/protocol/frame.ts';
import { openTransport } from '../../enclave/transport.ts';
import { createHost } from '../../enclave/vsock/host.ts';
import { launchInformation } from '../../enclave/vsock/launch-information.ts';
import { PORTS } from '../../enclave/vsock/socket.ts';
import { jsonFields } from '../../parties/json-fields.ts';
import type { Fields } from '../../parties/json-fields.ts';
import { parseCanonicalPolicy } from '../../policies/canonical.ts';
import { realTimers as timers } from '../enclave/real-timers.ts';
import { transfer } from './far-end.ts';

const never = new AbortController().signal;
const line = readFileSync(fileURLToPath(new URL('./transport', import.meta.url)), 'latin1');
const { nsm: carrier, vsock } = await openTransport(line, 'run', timers);
const nsm = createNsm(carrier);
const host = createHost(vsock, timers);
const policy = parseCanonicalPolicy(process.env['ACCORD_POLICY'] ?? '');

async function move(fields: Fields, direction: 'send' | 'take'): Promise<object> {
  const through = fields.count('through');
  const stream =
    through === 0 ? await host.dial('127.0.0.1', fields.count('port'), never) : await vsock.dial(through, never);
  try {
    await transfer(stream, direction, fields.count('bytes'));
  } finally {
    stream.destroy();
  }
  return {};
}

/** As the gate asks for it: one agent, one attestation document, a client for each request. */
async function decrypt(fields: Fields): Promise<object> {
  const { roots } = await launchInformation(host, timers);
  const { kms } = await connectAws({
    trust: policy.trust,
    offeredRoots: roots,
    carriedRoots: rootCertificates,
    dial: (name, port, signal) => host.dial(name, port, signal),
    now: async () => Date.now(),
    wallClock: () => Date.now(),
    timers,
  });
  const texts = (of: Fields): Record<string, string> =>
    Object.fromEntries(of.entries().map(([name]) => [name, of.text(name)]));
  const credentials = fields.fields('credentials');
  const request = {
    keyArn: fields.text('keyArn'),
    ciphertext: new Uint8Array(Buffer.from(fields.text('ciphertext'), 'base64')),
    context: texts(fields.fields('context')),
    credentials: {
      accessKeyId: credentials.text('accessKeyId'),
      secretAccessKey: credentials.text('secretAccessKey'),
      sessionToken: credentials.text('sessionToken'),
    },
    attestation: await nsm.attest({ publicKey: await recipientKey }),
  };
  const one = async (): Promise<number> => {
    const start = performance.now();
    await kms.decrypt(request, never);
    return performance.now() - start;
  };
  return { milliseconds: await Promise.all(Array.from({ length: fields.count('times') }, one)) };
}

/** Made once: under emulation it takes seconds. */
const recipientKey = (async () => {
  const algorithm = { name: 'RSA-OAEP', hash: 'SHA-256', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1) };
  const { publicKey } = await crypto.subtle.generateKey(algorithm, false, ['decrypt', 'encrypt']);
  return new Uint8Array(await crypto.subtle.exportKey('spki', publicKey));
})();

function answer(fields: Fields): Promise<object> {
  const asked = fields.text('ask');
  if (asked === 'send' || asked === 'take') return move(fields, asked);
  return decrypt(fields);
}

async function serve(connection: Duplex): Promise<void> {
  const frame = await frameReader(connection).readFrame();
  if (frame === undefined) return;
  const fields = jsonFields(JSON.parse(Buffer.from(frame).toString()), 'bench/question', 'question');
  const reply = await answer(fields).catch((error: unknown) => ({
    error: error instanceof Error ? (error.stack ?? error.message) : String(error),
  }));
  await writeFrame(connection, Buffer.from(JSON.stringify(reply)));
}

await vsock.listen(PORTS.sessions, (connection) => {
  serve(connection).catch(() => connection.destroy());
});
process.stdout.write(`${JSON.stringify({ accord: 'serving', port: PORTS.sessions })}\n`);
