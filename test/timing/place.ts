/**
 * The real enclave on this machine: the image of the local host, its gate and jails as processes of their own, and the
 * parent's end of the relay in this process, on processors of their own. The local AWS serves for opening sessions and handing
 * over models alone.
 */
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bundle } from '../../build/bundle.ts';
import { createLocalBuilder } from '../../build/local-builder.ts';
import { PORTS } from '../../enclave/vsock/socket.ts';
import { createLocalHost } from '../../orchestrator/hosts/local.ts';
import type { RunningEnclave } from '../../orchestrator/hosts/host.ts';
import { startLocalAws } from '../../orchestrator/local/aws.ts';
import { hostServices } from '../../orchestrator/relay/host-services.ts';
import { createNotebook } from '../../orchestrator/relay/observations.ts';
import type { Session } from '../../parties/session/session.ts';
import { parseCanonicalPolicy } from '../../policies/canonical.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { LocalTrust } from '../../policies/model.ts';
import { createEnvelopes } from '../bench/envelopes.ts';
import { contribute, homeOf, openSessionOf, pin } from '../bench/parties.ts';
import type { Delivery, Party } from '../bench/parties.ts';
import { KEY_ARNS } from '../bench/samples.ts';
import { timedChannel } from './channel.ts';
import type { Crossed } from './channel.ts';
import { divideProcessors } from './processors.ts';
import { createQuiet } from './quiet.ts';
import type { Quiet } from './quiet.ts';

export interface TimedSession extends Session {
  /** Of the last request. */
  crossed(): Crossed;
}

export interface Model {
  readonly manifest: string;
  readonly onnx: Uint8Array;
}

export interface Place {
  readonly enclave: RunningEnclave;
  readonly quiet: Quiet;
  open(party: Party): Promise<TimedSession>;
  /** Bob's model for a function. */
  contribute(functionName: string, model: Model): Promise<void>;
  close(): Promise<void>;
}

export interface PlaceOptions {
  /** Text of the policy. */
  readonly policy: (trust: LocalTrust) => string;
  /** In place of the image's own programs: for leaks that are planted, and for nothing else. */
  readonly bundles?: readonly Bundle[] | undefined;
  readonly mention: (line: string) => void;
}

export async function openPlace({ policy: write, bundles, mention }: PlaceOptions): Promise<Place> {
  const undo: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    const ended = undo.splice(0).toReversed();
    const failures: unknown[] = [];
    for (const step of ended) await step().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  };
  try {
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-timing-')));
    undo.push(() => rm(folder, { recursive: true, force: true }));
    const aws = await startLocalAws({ dataDir: join(folder, 'aws') });
    undo.push(() => aws.close());
    const builder = await createLocalBuilder({
      cacheDir: false,
      ...(bundles === undefined ? {} : { base: { bundles } }),
    });
    undo.push(() => builder.close());
    const image = await builder.build(loadPolicy(write(aws.trust), { file: 'policy' }), join(folder, 'image'));
    const policy = parseCanonicalPolicy(image.canonicalPolicy);
    const agreement = { ...image, orchestrator: 'http://127.0.0.1', collaboration: 'timing' };
    const homes = {
      alice: await homeOf(aws, folder, 'alice', agreement),
      bob: await homeOf(aws, folder, 'bob', agreement),
    };
    await pin(aws, [homes.bob]);

    const { contributions, coordinator } = createEnvelopes();
    const runFolder = join(folder, 'run');
    const host = createLocalHost({
      runFolder,
      issuer: aws.issuer,
      instanceId: 'i-0123456789abcdef0',
      roleArn: 'arn:aws:iam::999900001111:role/accord-host',
    });
    const absent = async (): Promise<undefined> => undefined;
    const processors = divideProcessors(mention);
    undo.push(async () => processors.all());
    processors.forEnclave();
    const enclave = await host.launch(
      { collaboration: 'timing', eifPath: image.eifPath, memoryMiB: 1024, cpus: 1 },
      hostServices({
        policy,
        information: { keyArns: Object.values(KEY_ARNS), roots: [aws.caDer] },
        contributions,
        findCredentials: absent,
        records: { put: absent, get: absent, putKeys: absent, keys: absent, policy: absent },
        localAws: async () => ({ host: '127.0.0.1', port: aws.port }),
        notebook: createNotebook(() => Date.now()),
      }),
    );
    undo.push(() => enclave.terminate());
    processors.forParent();
    const open = async (party: Party): Promise<TimedSession> => {
      const channel = timedChannel(await enclave.connect(PORTS.sessions));
      const session = await openSessionOf(aws, party, homes[party], channel);
      channel.crossed();
      return { ...session, crossed: () => channel.crossed() };
    };
    const delivery: Delivery = { coordinator, openSession: () => open('bob') };
    return {
      enclave,
      quiet: createQuiet(),
      open,
      contribute: (functionName, model) => contribute(aws, homes.bob, model, delivery, functionName),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
