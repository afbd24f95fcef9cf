/**
 * What stands in for an enclave that runs a real image: the image unpacked and its program started, as the local host does,
 * with an NSM and with vsock carried as in `stand-in.ts`. Arguments: the stand-in's folder, id, CID, the image, the NSM's
 * keys, the role, the instance.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { unpackEif } from '../../../../build/image/unpack.ts';
import { createAttestationIssuer } from '../../../../orchestrator/local/attestation-issuer.ts';
import { startLocalNsm } from '../../../../orchestrator/local/nsm.ts';
import { createConsoleRing } from '../../../../orchestrator/hosts/console-ring.ts';

const [state = '', id = '', cid = '', eif = '', nsmFolder = '', roleArn = '', instanceId = ''] = process.argv.slice(2);

function dialHost(port: number): Socket {
  const socket = connect(join(state, `host-${port}.sock`));
  socket.on('error', () => {});
  const preamble = Buffer.alloc(4);
  preamble.writeUInt32BE(Number(cid));
  socket.write(preamble);
  return socket;
}

async function bridge(path: string, dial: () => Socket): Promise<void> {
  const server = createServer((near) => {
    const far = dial();
    near.on('error', () => far.destroy()).on('close', () => far.destroy());
    far.on('error', () => near.destroy()).on('close', () => near.destroy());
    near.pipe(far).pipe(near);
  });
  await rm(path, { force: true }); // of one that was killed
  await new Promise<void>((done) => server.listen(path, done));
}

const extended = (text: string): Uint8Array =>
  createHash('sha384').update(Buffer.alloc(48)).update(text, 'ascii').digest();

const lifeLine = dialHost(8003);
await writeFile(join(state, `${id}.heartbeat`), '');
const root = join(state, `${id}.root`);
await mkdir(root, { mode: 0o700 });
const { cmd, env, pcrs } = await unpackEif(eif, root);
const run = join(root, 'run');
await mkdir(run, { mode: 0o700 });
await startLocalNsm({
  socketPath: join(run, 'nsm.sock'),
  moduleId: id,
  issuer: await createAttestationIssuer(nsmFolder),
  pcrs: new Map<number, Uint8Array>([
    ...[pcrs.PCR0, pcrs.PCR1, pcrs.PCR2].map((hex, index) => [index, Buffer.from(hex, 'hex')] as const),
    [3, extended(roleArn)],
    [4, extended(instanceId)],
  ]),
});
await bridge(join(run, 'host-8001.sock'), () => dialHost(8001));
await bridge(join(state, `cid-${cid}-5000.sock`), () => connect(join(run, 'guest-5000.sock')));

const [program = '', ...argv] = cmd;
const child = spawn(resolve(root, program), argv, { cwd: root, env: { ...env }, stdio: ['pipe', 'pipe', 'inherit'] });
createConsoleRing((line) => {
  process.stdout.write(`${line}\n`);
  if (line.startsWith('{"accord":')) lifeLine.write(`${line}\n`);
}).follow(child.stdout);
child.once('close', (code) => {
  lifeLine.once('close', () => process.exit());
  lifeLine.end(`${JSON.stringify({ accord: 'exited', code })}\n`);
});
