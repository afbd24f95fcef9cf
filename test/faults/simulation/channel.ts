/**
 * A stand-in for the sealed channel where a run is not about cryptography: it hides nothing, and like the real one opens
 * nothing but the next message of its own connection.
 *
 *     body = uint32(connection) || uint8(direction) || uint32(number) || zeros[7] || plaintext
 */
import { createHash } from 'node:crypto';
import type { SealedChannel, SessionCode } from '../../../enclave/protocol/session.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { Failure } from '../../../policies/failure.ts';

const HEAD_BYTES = 16;

export function openChannel(connection: number, side: 'party' | 'enclave'): SealedChannel {
  let sealed = 0;
  let opened = 0;
  let state: 'live' | 'session/poisoned' | 'session/erased' = 'live';
  const headOf = (by: 'party' | 'enclave', number: number): Uint8Array => {
    const head = new Uint8Array(HEAD_BYTES);
    const view = new DataView(head.buffer);
    view.setUint32(0, connection);
    view.setUint8(4, by === 'party' ? 1 : 2);
    view.setUint32(5, number);
    return head;
  };
  const demandLive = (): void => {
    if (state !== 'live') throw failure(state);
  };
  return {
    async seal(plaintext) {
      demandLive();
      return concat(headOf(side, sealed++), plaintext);
    },
    async open(ciphertext) {
      demandLive();
      const head = headOf(side === 'party' ? 'enclave' : 'party', opened++);
      if (head.every((byte, at) => ciphertext[at] === byte)) return ciphertext.slice(HEAD_BYTES);
      state = 'session/poisoned';
      throw failure('session/unauthentic');
    },
    async export(label, length) {
      demandLive();
      return new Uint8Array(createHash('sha512').update(`${connection} ${label}`).digest().subarray(0, length));
    },
    erase: () => void (state = 'session/erased'),
  };
}

function failure(code: SessionCode): Failure<SessionCode> {
  return new Failure('refused', code, 'the channel does not go on');
}
