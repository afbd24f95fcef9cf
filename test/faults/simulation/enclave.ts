/**
 * One copy of the image: the real service up to its gate, in a world of simulated parts. Connections are served as
 * `enclave/connection.ts` serves them, over the stand-in channel: the handshake's own cryptography is tested elsewhere
 * and would be all that a run does.
 */
import { within } from '../../../enclave/deadline.ts';
import type { Gate } from '../../../enclave/gate.ts';
import type { FrameReader } from '../../../enclave/protocol/frame.ts';
import { padPlain } from '../../../enclave/protocol/answer.ts';
import { receive } from '../../../enclave/pipeline/frame.ts';
import { asks, openSealed } from '../../../enclave/pipeline/open.ts';
import { openSession } from '../../../enclave/pipeline/authenticate.ts';
import { answer } from '../../../enclave/pipeline/pipeline.ts';
import type { Line } from '../../../enclave/pipeline/pipeline.ts';
import { orRefusal } from '../../../enclave/pipeline/refused.ts';
import { release } from '../../../enclave/pipeline/release.ts';
import { seal } from '../../../enclave/pipeline/seal.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import type { World } from '../../../enclave/service.ts';
import { boot, key } from '../../../enclave/service.ts';
import type { CanonicalPolicy } from '../../../policies/model.ts';
import { Failure } from '../../../policies/failure.ts';
import { openChannel } from './channel.ts';
import type { LineEnd } from './line.ts';
import type { Process } from './process.ts';

export interface Copy {
  readonly process: Process;
  /** Serves a party's connection, as soon as the gate is there. */
  connect(connection: number, line: LineEnd): void;
  readonly gate: Gate | undefined;
}

export interface CopyOptions {
  readonly process: Process;
  readonly world: World;
  readonly policyText: string;
  /** Test-only: puts a weakened gate in place of the real one. */
  readonly weaken?: (gate: Gate) => Gate;
  readonly policy?: (policy: CanonicalPolicy) => CanonicalPolicy;
  /** Told what ended it, or an error that should not be. */
  readonly ended: (error: Failure) => void;
  readonly fault: (error: unknown) => void;
}

const FRAME_MS = 30_000;
/** Of a frame: a line carries bodies. */
const HEAD_BYTES = 4;
const REQUEST_MS = 900_000;

export function startCopy({ process, world, policyText, weaken, policy, ended, fault }: CopyOptions): Copy {
  let gate: Gate | undefined;
  const start = async (): Promise<void> => {
    const booted = await boot(world, policyText);
    const keyed = await key(policy === undefined ? booted : { ...booted, policy: policy(booted.policy) });
    gate = weaken?.(keyed.gate) ?? keyed.gate;
  };
  start().catch((error: unknown) => {
    if (error instanceof Failure) ended(error);
    else fault(error);
  });
  return {
    process,
    get gate() {
      return gate;
    },
    connect(connection, line) {
      if (gate === undefined || !process.alive) {
        line.close();
        return;
      }
      serve(gate, connection, line)
        .catch((error: unknown) => {
          if (!(error instanceof Failure)) fault(error);
        })
        .finally(() => {
          if (process.alive) line.close();
        });
    },
  };
}

async function serve(gate: Gate, connection: number, line: LineEnd): Promise<void> {
  const channel = openChannel(connection, 'enclave');
  const over = new AbortController();
  try {
    // One deadline: this boot's key is there from the beginning.
    const opened = await within(gate.timers, LIMITS.handshakeMs, 'opening a session', async (limit) => {
      const body = await line.receive(limit);
      const first = body === undefined ? undefined : await openSealed(channel, body);
      if (first === undefined || !asks(first, 'authenticate')) return undefined;
      const outcome = await orRefusal(() => openSession(gate, channel, first, limit));
      const told = padPlain(
        'refused' in outcome ? { t: 'refused', ...outcome } : { t: 'authenticated', party: outcome.party },
      );
      line.send(release(await seal(channel, told)).body);
      return 'refused' in outcome ? undefined : outcome;
    });
    if (opened === undefined) return;
    gate.opening.arrived(opened.party, opened.keyArn, opened.credentials, over.signal);
    const reader: FrameReader = { readFrame: (signal) => line.receive(signal) };
    const never = new AbortController().signal;
    const now = (): number => gate.schedule.now();
    const pipe: Line = {
      next: () => within(gate.timers, FRAME_MS, 'the rest of an input', (limit) => receive(reader, now, limit)),
      write: (whole) => line.send(whole.subarray(HEAD_BYTES)),
    };
    for (;;) {
      const frame = await receive(reader, now, never);
      if (frame === undefined) return;
      const outcome = await within(gate.timers, REQUEST_MS, 'a request', (limit) =>
        answer(gate, opened, frame, pipe, limit),
      );
      if (outcome === 'done') return;
    }
  } finally {
    over.abort(new Error('the session is over'));
    channel.erase();
  }
}
