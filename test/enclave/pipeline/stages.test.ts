/**
 * Law 5: a value of the right type is the proof that a step was done. These are tests of types: `tsc` fails where a line
 * under `@ts-expect-error` compiles, that is, where a stage could be skipped.
 */
import { expect, test } from 'vitest';
import type { Gate } from '../../../enclave/gate.ts';
import type { Admitted, Provisions } from '../../../enclave/pipeline/admit.ts';
import { admit } from '../../../enclave/pipeline/admit.ts';
import type { Authenticated, Session } from '../../../enclave/pipeline/authenticate.ts';
import { authenticate } from '../../../enclave/pipeline/authenticate.ts';
import type { Confirmed } from '../../../enclave/pipeline/confirm.ts';
import { confirm } from '../../../enclave/pipeline/confirm.ts';
import type { RawOutput } from '../../../enclave/pipeline/compute.ts';
import type { ComputeLimits } from '../../../enclave/pipeline/compute.ts';
import { compute } from '../../../enclave/pipeline/compute.ts';
import type { Frame } from '../../../enclave/pipeline/frame.ts';
import type { OpenedRequest } from '../../../enclave/pipeline/open.ts';
import { open } from '../../../enclave/pipeline/open.ts';
import type { PaddedAnswer } from '../../../enclave/protocol/answer.ts';
import { pad } from '../../../enclave/pipeline/pad.ts';
import { keep } from '../../../enclave/pipeline/recall.ts';
import { ready, release } from '../../../enclave/pipeline/release.ts';
import type { SealedAnswer } from '../../../enclave/pipeline/seal.ts';
import { seal } from '../../../enclave/pipeline/seal.ts';
import type { ValidInput } from '../../../enclave/pipeline/validate.ts';
import { validate } from '../../../enclave/pipeline/validate.ts';
import type { Call } from '../../../enclave/protocol/request.ts';
import type { SealedChannel } from '../../../enclave/protocol/session.ts';
import type { Booted, Keyed } from '../../../enclave/service.ts';
import { key, serve } from '../../../enclave/service.ts';

interface Everything {
  readonly gate: Gate;
  readonly channel: SealedChannel;
  readonly session: Session;
  readonly provisions: Provisions;
  readonly bytes: Uint8Array;
  readonly frame: Frame;
  readonly opened: OpenedRequest<Call>;
  readonly caller: Authenticated<Call>;
  readonly admitted: Admitted;
  readonly valid: ValidInput;
  readonly raw: RawOutput;
  readonly confirmed: Confirmed;
  readonly padded: PaddedAnswer;
  readonly sealed: SealedAnswer;
  readonly signal: AbortSignal;
  readonly limits: ComputeLimits;
}

/** Never called: what it says, it says to the compiler. */
export const types = {
  theWholeWay: async (e: Everything): Promise<Frame> => {
    const opened: OpenedRequest | undefined = await open(e.channel, e.frame);
    const caller = await authenticate(e.gate, e.session, e.opened);
    const admitted = await admit(e.gate, caller, e.provisions, e.signal);
    const raw = await compute(validate(admitted), e.limits);
    const confirmed = await confirm(admitted, raw);
    return opened === undefined ? e.frame : release(await seal(e.channel, pad(confirmed, 1024)));
  },

  skips: (e: Everything): readonly unknown[] => [
    // @ts-expect-error bytes are no frame: nobody has looked at their length
    open(e.channel, e.bytes),
    // @ts-expect-error a frame is not opened
    authenticate(e.gate, e.session, e.frame),
    // @ts-expect-error a request that nobody opened
    authenticate(e.gate, e.session, { request: e.opened.request }),
    // @ts-expect-error opened, but by whom?
    admit(e.gate, e.opened, e.provisions),
    // @ts-expect-error a session does not make a request authenticated
    admit(e.gate, { session: e.session, request: e.opened.request }, e.provisions),
    // @ts-expect-error authenticated, but without a ticket
    validate(e.caller),
    // @ts-expect-error admitted, but not validated
    compute(e.admitted, e.limits),
    // @ts-expect-error bytes that nobody admitted
    compute({ ...e.admitted, bytes: e.bytes }, e.limits),
    // @ts-expect-error computed, but nobody has asked whether the ticket is held
    pad(e.raw, 1024),
    // @ts-expect-error a refusal that came of an input is no different
    keep(e.gate, e.admitted, { refused: 'input-invalid' }),
    // @ts-expect-error an input is not an output
    pad(e.valid, 1024),
    // @ts-expect-error text that no jail gave and no schema judged
    pad({ json: '{}' }, 1024),
    // @ts-expect-error an answer of its own length
    seal(e.channel, e.raw),
    // @ts-expect-error bytes that are not padded
    seal(e.channel, e.bytes),
    // @ts-expect-error not sealed
    release(e.padded),
    // @ts-expect-error sealed by whom?
    release({ ciphertext: e.bytes }),
    // @ts-expect-error not sealed, and so not ready to leave
    ready(e.padded, () => {}),
  ],

  aSessionIsEarned: (e: Everything): Session =>
    // @ts-expect-error only `openSession` makes one
    ({ party: 'alice', keyArn: '', channel: e.channel, credentials: e.session.credentials, expiresAt: 0 }),

  aLifeHasItsOrder: (booted: Booted, keyed: Keyed): readonly unknown[] => [
    // @ts-expect-error an enclave without keys does not serve
    serve(booted),
    // @ts-expect-error keyed once
    key(keyed),
    // @ts-expect-error a gate that was put together by hand
    serve({ world: keyed.world, gate: keyed.gate }),
  ],
} as const;

test('the compiler says no to every stage that is skipped', () => {
  expect(Object.keys(types)).toHaveLength(4);
});
