/** The host's relay as an enclave in QEMU meets it: its throughput beside socat's, and many KMS calls at once. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundleEntry } from '../../build/bundle.ts';
import { PATHS } from '../../build/image/ramdisk.ts';
import { sessionContext } from '../../enclave/protocol/context.ts';
import { frameReader, writeFrame } from '../../enclave/protocol/frame.ts';
import { PORTS } from '../../enclave/vsock/socket.ts';
import { killWithThisProcess } from '../../orchestrator/hosts/living.ts';
import { hostPortSocket } from '../../orchestrator/hosts/qemu/sockets.ts';
import { allowList } from '../../orchestrator/relay/allow-list.ts';
import { hostServices } from '../../orchestrator/relay/host-services.ts';
import { outboundService } from '../../orchestrator/relay/outbound.ts';
import type { Keep } from './boot.ts';
import { startFarEnd } from './far-end.ts';
import type { Direction, FarEnd } from './far-end.ts';
import { interleaved, median, rounded } from './figure.ts';
import type { Emit } from './figure.ts';
import { openMachines, whyAbsent } from './machines.ts';
import type { Image, Machine, Machines } from './machines.ts';
import { random, withAccount } from './parties.ts';
import { KEY_ARNS, policyOf } from './samples.ts';

const MEMORY_MIB = 768;
const MEGABYTES = 24;
const ROUNDS = 11;
const SHARE = 0.8;
/** A host port that nothing of ours uses. */
const SOCAT_PORT = 8100;
const SOCAT_MS = 5_000;
const KMS_CALLS = 30;
const KMS_ROUNDS = 5;
const KMS_SPREAD = 3;
const ANSWER_MS = 120_000;

const DIRECTIONS: readonly (readonly [Direction, string])[] = [
  ['send', 'enclave -> host'],
  ['take', 'host -> enclave'],
];

export async function benchRelay(emit: Emit, keep: Keep): Promise<void> {
  try {
    const guest = await bundleEntry(join(import.meta.dirname, `guest${extname(import.meta.filename)}`), PATHS.gate);
    const machines = await openMachines({ bundles: [guest], packages: ['koffi'] });
    keep(machines);
    const farEnd = await startFarEnd();
    try {
      const image = await machines.build(policyOf('object-detection', 1, machines.aws.trust));
      const machine = await machines.launch(image, {
        memoryMiB: MEMORY_MIB,
        services: (usual) => ({
          ...hostServices(usual),
          [PORTS.outbound]: outboundService({
            ...usual,
            allow: [...allowList(usual.policy), { host: '127.0.0.1', port: farEnd.port }],
          }),
        }),
      });
      await emitThroughput(emit, machines, machine, farEnd);
      await emitKms(emit, machines, machine, image);
    } finally {
      await machines.close();
      await farEnd.close();
    }
  } catch (error) {
    const skipped = whyAbsent(error);
    if (skipped === undefined) throw error;
    emit({ figure: 'relay', skipped });
  }
}

async function emitThroughput(emit: Emit, machines: Machines, machine: Machine, farEnd: FarEnd): Promise<void> {
  if (spawnSync('socat', ['-V']).error !== undefined) {
    for (const [, name] of DIRECTIONS) {
      emit({ figure: `relay: ${name}`, skipped: 'socat, with which it is compared, is not installed' });
    }
    return;
  }
  const socat = await startSocat(machines.runFolder, farEnd.port);
  try {
    for (const [direction, name] of DIRECTIONS) {
      const bytes = MEGABYTES * 1_000_000;
      const move = (through: number) => (): Promise<unknown> =>
        ask(machine, { ask: direction, bytes, port: farEnd.port, through });
      const compared = await interleaved({ rounds: ROUNDS }, move(0), move(SOCAT_PORT));
      const ratio = 1 / compared.ratio;
      const perSecond = (milliseconds: number): number => rounded((MEGABYTES * 1_000) / milliseconds, 1);
      emit({
        figure: `relay: ${name}`,
        value: perSecond(compared.value),
        unit: 'MB/s',
        reference: perSecond(compared.reference),
        ratio: rounded(ratio, 3),
        target: `>= ${SHARE} x socat over the same bridge`,
        met: ratio >= SHARE,
        note: `${MEGABYTES} MB a round, ${ROUNDS} rounds, to and from a TCP port on loopback; quickest ${perSecond(compared.quickest.value)} and ${perSecond(compared.quickest.reference)} MB/s; processors emulated`,
      });
    }
  } finally {
    await socat.stop();
  }
}

/** From a vsock port of the host to the far end, in the launch folder of the one machine that runs. */
async function startSocat(runFolder: string, port: number): Promise<{ stop(): Promise<void> }> {
  const [folder = ''] = (await readdir(runFolder)).filter((name) => name.startsWith('enclave-'));
  const cwd = join(runFolder, folder);
  const socket = hostPortSocket(String(SOCAT_PORT));
  const argv = [`UNIX-LISTEN:${socket},fork`, `TCP:127.0.0.1:${port}`];
  const child = spawn('socat', argv, { cwd, detached: true, stdio: 'ignore' });
  const forget = killWithThisProcess(child);
  const gone = once(child, 'exit');
  const deadline = performance.now() + SOCAT_MS;
  while (!existsSync(join(cwd, socket))) {
    if (performance.now() > deadline) throw new Error('socat does not listen');
    await sleep(10);
  }
  return {
    async stop() {
      child.kill();
      await gone;
      forget();
    },
  };
}

/** All at once with fresh connections: each dials through the relay and shakes hands. */
async function emitKms(emit: Emit, { aws }: Machines, machine: Machine, image: Image): Promise<void> {
  const keyArn = KEY_ARNS.alice;
  const { pins } = await image.home('alice');
  const context = sessionContext({ policyDigest: pins.policyDigest, party: 'alice', sessionId: random(16) });
  const signal = AbortSignal.timeout(ANSWER_MS);
  const question = await withAccount(aws, 'alice', async ({ encryptChallenge, credentials }) => ({
    ask: 'decrypt',
    times: KMS_CALLS,
    keyArn,
    context,
    ciphertext: Buffer.from(await encryptChallenge(random(32), context, signal)).toString('base64'),
    credentials: await credentials(signal),
  }));
  const medians: number[] = [];
  const slowest: number[] = [];
  await ask(machine, { ...question, times: 2 }); // all of it is new to the machine
  for (let round = 0; round < KMS_ROUNDS; round++) {
    const { milliseconds = [] } = await ask(machine, question);
    if (milliseconds.length !== KMS_CALLS) throw new Error(`${milliseconds.length} KMS calls were answered`);
    medians.push(median(milliseconds));
    slowest.push(Math.max(...milliseconds));
  }
  const ratio = Math.max(...slowest.map((value, index) => value / (medians[index] ?? Number.NaN)));
  emit({
    figure: `relay: ${KMS_CALLS} KMS calls at once, the slowest`,
    value: rounded(Math.max(...slowest), 0),
    unit: 'ms',
    reference: rounded(median(medians), 0),
    ratio: rounded(ratio, 3),
    target: `none slower than ${KMS_SPREAD} x the median`,
    met: ratio <= KMS_SPREAD,
    note: `attested Decrypt with the enclave's own client, each with a connection and a TLS handshake of its own on emulated processors; ${KMS_ROUNDS} rounds, the worst of them counts; the reference is the median of the medians`,
  });
}

interface Reply {
  readonly milliseconds?: readonly number[];
}

async function ask({ enclave }: Machine, question: object): Promise<Reply> {
  const connection = await enclave.connect(PORTS.sessions);
  connection.on('error', () => {});
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    await writeFrame(connection, Buffer.from(JSON.stringify(question)), signal);
    const body = await frameReader(connection).readFrame(signal);
    if (body === undefined) throw new Error(`no answer; the console ends with ${enclave.console().at(-1)}`);
    const reply: Reply & { readonly error?: string } = JSON.parse(Buffer.from(body).toString());
    if (reply.error !== undefined) throw new Error(`in the machine: ${reply.error}`);
    return reply;
  } finally {
    connection.destroy();
  }
}
