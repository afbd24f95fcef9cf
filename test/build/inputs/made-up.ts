/** Small packages, and a mirror on loopback that serves them as well or as badly as a test wants. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import type { Headers } from 'tar-stream';
import type { LockedPackage } from '../../../build/inputs/lock.ts';

export type Member = Headers & { readonly body?: string | Buffer };

export async function tarOf(members: readonly Member[]): Promise<Buffer> {
  const tar = pack();
  for (const { body, ...header } of members) tar.entry({ mode: 0o644, mtime: new Date(0), ...header }, body);
  tar.finalize();
  return buffer(tar);
}

export function xz(bytes: Uint8Array): Buffer {
  return spawnSync('xz', ['-c'], { input: bytes, maxBuffer: 1 << 28 }).stdout;
}

/** An `ar` archive, as deb(5) says. */
export function arOf(members: readonly (readonly [name: string, content: Uint8Array])[]): Buffer {
  const parts = [Buffer.from('!<arch>\n')];
  for (const [name, content] of members) {
    const fields = [name.padEnd(16), '0'.padEnd(12), '0'.padEnd(6), '0'.padEnd(6), '100644'.padEnd(8)];
    parts.push(Buffer.from(`${fields.join('')}${String(content.length).padEnd(10)}\`\n`), Buffer.from(content));
    if (content.length % 2 === 1) parts.push(Buffer.from('\n'));
  }
  return Buffer.concat(parts);
}

export async function debOf(members: readonly Member[]): Promise<Buffer> {
  return arOf([
    ['debian-binary', Buffer.from('2.0\n')],
    ['control.tar.xz', xz(await tarOf([{ name: './control', body: 'Package: made-up\n' }]))],
    ['data.tar.xz', xz(await tarOf(members))],
  ]);
}

/** What a lock would say of `bytes`. */
export function lockedAs(bytes: Uint8Array, name = 'made-up'): LockedPackage {
  return {
    name,
    version: '1.0-1',
    path: `pool/main/m/made-up/${name}_1.0-1_amd64.deb`,
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
}

export interface Mirror {
  readonly url: string;
  /** Paths that were asked for, each with its range if it had one. */
  readonly asked: string[];
  close(): Promise<void>;
}

type Answer = (request: IncomingMessage, response: ServerResponse, nth: number) => void;

/** `answer` gets the number of the request, counted from 0. */
export async function openMirror(answer: Answer): Promise<Mirror> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const { range } = request.headers;
    asked.push(range === undefined ? String(request.url) : `${request.url} ${range}`);
    answer(request, response, asked.length - 1);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the mirror has no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    asked,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Serves each of `files` under the path in its lock, ranges included; 404 for all else. */
export function serving(files: ReadonlyMap<string, Uint8Array>): Answer {
  return (request, response) => {
    const found = files.get(String(request.url).slice(1));
    if (found === undefined) {
      response.writeHead(404).end();
      return;
    }
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    response.writeHead(from > 0 ? 206 : 200, { 'content-length': found.length - from }).end(found.subarray(from));
  };
}
