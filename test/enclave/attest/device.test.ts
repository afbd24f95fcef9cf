import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createNsm } from '../../../enclave/attest/device.ts';
import type { NsmTransport } from '../../../enclave/attest/device.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { decodeCbor, encodeCbor } from '../../../enclave/encoding/cbor.ts';

const map = (entries: Readonly<Record<string, CborValue>>): CborValue => new Map(Object.entries(entries));

function answering(response: CborValue | Uint8Array): { transport: NsmTransport; requests: Uint8Array[] } {
  const requests: Uint8Array[] = [];
  const bytes = response instanceof Uint8Array ? response : encodeCbor(response);
  const transport = {
    exchange: (request: Uint8Array) => {
      requests.push(request);
      return Promise.resolve(bytes);
    },
    close: () => {},
  };
  return { transport, requests };
}

describe('requests are those of /dev/nsm', () => {
  const sent = async (response: CborValue, use: (nsm: ReturnType<typeof createNsm>) => Promise<unknown>) => {
    const { transport, requests } = answering(response);
    await use(createNsm(transport));
    return decodeCbor(requests[0] ?? new Uint8Array(0), { maxBytes: 4096 });
  };

  test('Attestation, absent fields as null', async () => {
    const request = await sent(map({ Attestation: map({ document: Uint8Array.of(1) }) }), (nsm) =>
      nsm.attest({ nonce: Uint8Array.of(7) }),
    );
    expect(request).toEqual(map({ Attestation: map({ user_data: null, nonce: Uint8Array.of(7), public_key: null }) }));
  });

  test('GetRandom is a text, not a map', async () => {
    expect(await sent(map({ GetRandom: map({ random: new Uint8Array(256) }) }), (nsm) => nsm.random(48))).toBe(
      'GetRandom',
    );
  });

  test('DescribePCR', async () => {
    const response = map({ DescribePCR: map({ lock: true, data: new Uint8Array(48) }) });
    expect(await sent(response, (nsm) => nsm.describePcr(4))).toEqual(map({ DescribePCR: map({ index: 4 }) }));
  });
});

describe('responses are read strictly', () => {
  const REFUSED: Readonly<Record<string, CborValue | Uint8Array>> = {
    'an error': map({ Error: 'InvalidArgument' }),
    'another answer': map({ GetRandom: map({ random: new Uint8Array(256) }) }),
    'two answers': map({ Attestation: map({ document: Uint8Array.of(1) }), GetRandom: map({}) }),
    'an unknown field': map({ Attestation: map({ document: Uint8Array.of(1), more: 1 }) }),
    'a document that is text': map({ Attestation: map({ document: 'text' }) }),
    'an empty document': map({ Attestation: map({ document: new Uint8Array(0) }) }),
    'no map': 'Attestation',
    'trailing bytes': Uint8Array.of(0xf6, 0x00),
    nothing: new Uint8Array(0),
    'too many bytes': new Uint8Array(12_289),
  };
  test.each(Object.entries(REFUSED))('%s', async (_, response) => {
    await expect(createNsm(answering(response).transport).attest({})).rejects.toMatchObject({
      code: expect.stringMatching(/^(nsm|cbor)\//),
    });
  });

  test('the module’s own error is named', async () => {
    const { transport } = answering(map({ Error: 'BufferTooSmall' }));
    await expect(createNsm(transport).attest({})).rejects.toMatchObject({
      code: 'nsm/error',
      message: expect.stringContaining('BufferTooSmall'),
    });
  });

  test('less randomness than asked for is refused', async () => {
    const { transport } = answering(map({ GetRandom: map({ random: new Uint8Array(16) }) }));
    await expect(createNsm(transport).random(32)).rejects.toMatchObject({ code: 'nsm/malformed' });
  });

  test('a PCR of another length is refused', async () => {
    const { transport } = answering(map({ DescribePCR: map({ lock: true, data: new Uint8Array(32) }) }));
    await expect(createNsm(transport).describePcr(0)).rejects.toMatchObject({ code: 'nsm/malformed' });
  });

  test('any bytes give a document or a coded failure', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (bytes) => {
        const error: unknown = await createNsm(answering(bytes).transport)
          .attest({})
          .catch((error: unknown) => error);
        expect(error).toHaveProperty('code');
      }),
    );
  });
});

test('what is as long as the module takes is sent', async () => {
  const field = new Uint8Array(1024);
  const { transport } = answering(map({ Attestation: map({ document: Uint8Array.of(1) }) }));
  const full = { publicKey: field, userData: field, nonce: field };
  expect(await createNsm(transport).attest(full)).toEqual(Uint8Array.of(1));
  const random = createNsm(answering(map({ GetRandom: map({ random: new Uint8Array(256) }) })).transport);
  expect(await random.random(1)).toHaveLength(1);
  expect(await random.random(256)).toHaveLength(256);
});

test('what the module would refuse is not sent', async () => {
  const { transport, requests } = answering(map({}));
  const nsm = createNsm(transport);
  await expect(nsm.attest({ userData: new Uint8Array(1025) })).rejects.toMatchObject({ code: 'nsm/too-large' });
  await expect(nsm.random(257)).rejects.toThrow(RangeError);
  await expect(nsm.random(0)).rejects.toThrow(RangeError);
  expect(requests).toEqual([]);
});
