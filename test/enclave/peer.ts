/** The party's end of a session, spoken by hand: every message can be changed, held back or sent twice. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { unpadAnswer } from '../../enclave/protocol/answer.ts';
import type { Answer } from '../../enclave/protocol/answer.ts';
import { sessionContext } from '../../enclave/protocol/context.ts';
import type { FrameReader, OuterMessage } from '../../enclave/protocol/frame.ts';
import { decodeOuter, encodeFrame, encodeOuter, frameReader, writeFrame } from '../../enclave/protocol/frame.ts';
import type { Authenticate, EnclaveCredentials, Request } from '../../enclave/protocol/request.ts';
import { encodeRequest, inputChunks } from '../../enclave/protocol/request.ts';
import type { SealedChannel } from '../../enclave/protocol/session.ts';
import { CHALLENGE_BYTES, EXPORT_LABELS, initiate, sessionInfo } from '../../enclave/protocol/session.ts';
import { parseAttestation } from '../../parties/attestation/verify.ts';
import type { AttestationDocument } from '../../parties/attestation/verify.ts';
import type { PolicyDigest } from '../../policies/model.ts';

export interface PeerOptions {
  readonly party: string;
  readonly keyArn: string;
  readonly policyDigest: PolicyDigest;
  /** What the party's own KMS does. */
  readonly encrypt: (
    keyArn: string,
    plaintext: Uint8Array,
    context: Readonly<Record<string, string>>,
  ) => Uint8Array | Promise<Uint8Array>;
  /** What the enclave shall call KMS with. */
  readonly credentials?: EnclaveCredentials;
  /** The policy's bucket for an input of a function. Default: inputs are sent as they are. */
  readonly pad?: (functionName: string, inputBytes: number) => number | undefined;
  /** Changes the first request before it is sealed. */
  readonly tamper?: (request: Authenticate) => Request;
  /** Changes the challenge before KMS encrypts it. */
  readonly challenge?: (challenge: Uint8Array) => Uint8Array;
}

export interface Peer {
  readonly socket: Socket;
  readonly channel: SealedChannel;
  readonly document: AttestationDocument;
  /** What the enclave answered to `authenticate`. */
  readonly first: Answer;
  /** Everything that went out so far, frame by frame, lengths included. */
  readonly sent: readonly Uint8Array[];
  /** Bytes of the frame bodies that came in. */
  readonly sizes: readonly number[];
  /** Seals and sends, without waiting for an answer. */
  say(request: Request): Promise<void>;
  /** The next answer; `closed` where the enclave said so or hung up. */
  hear(): Promise<Answer | 'closed'>;
  ask(request: Request): Promise<Answer | 'closed'>;
  /** A call with its input in chunks, padded as its policy says; `paddedBytes`: otherwise. */
  call(
    functionName: string,
    requestId: Uint8Array,
    input: Uint8Array,
    paddedBytes?: number,
  ): Promise<Answer | 'closed'>;
  close(): void;
}

export const CREDENTIALS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalr', sessionToken: 'token' } as const;

/** Says hello, reads the welcome; does not verify it. */
export async function greet(
  socket: Socket,
  nonce: Uint8Array = randomBytes(32),
): Promise<{
  readonly reader: FrameReader;
  readonly document: AttestationDocument;
  readonly info: Uint8Array;
  readonly hello: Uint8Array;
}> {
  const reader = frameReader(socket);
  const hello = encodeOuter({ t: 'hello', v: 1, nonce });
  await writeFrame(socket, hello);
  const welcome = await reader.readFrame();
  const message = welcome === undefined ? undefined : decodeOuter(welcome);
  if (welcome === undefined || message?.t !== 'welcome') throw new Error('the enclave did not welcome');
  return { reader, document: parseAttestation(message.attestation), info: await sessionInfo(hello, welcome), hello };
}

export async function openPeer(socket: Socket, options: PeerOptions): Promise<Peer> {
  const { reader, document, info, hello } = await greet(socket);
  const sent: Uint8Array[] = [encodeFrame(hello)];
  const sizes: number[] = [];
  const { enc, channel } = await initiate(document.publicKey ?? new Uint8Array(0), info, randomBytes);

  const send = async (message: OuterMessage): Promise<void> => {
    const body = encodeOuter(message);
    sent.push(encodeFrame(body));
    await writeFrame(socket, body);
  };
  const hear = async (): Promise<Answer | 'closed'> => {
    const body = await reader.readFrame().catch(() => undefined);
    if (body === undefined) return 'closed';
    sizes.push(body.length);
    const message = decodeOuter(body);
    return message.t === 'sealed' ? unpadAnswer(await channel.open(message.ct)) : 'closed';
  };
  const say = async (request: Request): Promise<void> =>
    send({ t: 'sealed', ct: await channel.seal(encodeRequest(request)) });

  const authenticate = await authentication(channel, options);
  const ct = await channel.seal(encodeRequest(options.tamper?.(authenticate) ?? authenticate));
  await send({ t: 'open', enc, ct });
  const first = await hear();
  if (first === 'closed') throw new Error('the enclave closed the connection');
  return {
    socket,
    channel,
    document,
    first,
    sent,
    sizes,
    say,
    hear,
    async ask(request) {
      await say(request);
      return hear();
    },
    async call(functionName, requestId, input, padTo) {
      const inputBytes = input.length;
      const paddedBytes = padTo ?? options.pad?.(functionName, inputBytes) ?? inputBytes;
      await say({ t: 'call', function: functionName, requestId, inputBytes, paddedBytes });
      for (const chunk of inputChunks(input, paddedBytes)) await say(chunk);
      return hear();
    },
    close: () => socket.destroy(),
  };
}

export async function authentication(channel: SealedChannel, options: PeerOptions): Promise<Authenticate> {
  const { party, keyArn, policyDigest, encrypt } = options;
  const sessionId = new Uint8Array(randomBytes(16));
  const challenge = await channel.export(EXPORT_LABELS.challenge, CHALLENGE_BYTES);
  const context = sessionContext({ policyDigest, party, sessionId });
  const ciphertext = await encrypt(keyArn, options.challenge?.(challenge) ?? challenge, context);
  return { t: 'authenticate', keyArn, sessionId, ciphertext, credentials: options.credentials ?? CREDENTIALS };
}

/** Whether the other end hung up; what it still sent is thrown away. */
export function hungUp(socket: Socket): Promise<true> {
  return new Promise((resolve) => {
    if (socket.destroyed || socket.readableEnded) resolve(true);
    socket.once('close', () => resolve(true));
    socket.once('end', () => resolve(true));
    socket.resume();
  });
}
