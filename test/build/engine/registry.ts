/** A registry of one image with one layer, on this machine and without TLS (OCI distribution specification, "Pull"). */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { sha256 } from '../image/tar.ts';

export interface Registry {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** `HOST/base@sha256:…` */
  readonly image: string;
  close(): Promise<void>;
}

const TYPE = 'application/vnd.oci.image';

/** `config`: what a container of it would be given, and what a build that starts from it would do. */
export async function startRegistry(layer: Uint8Array, config: object): Promise<Registry> {
  const blobs = new Map<string, Uint8Array>();
  const keep = (mediaType: string, content: Uint8Array | string): object => {
    const bytes = Buffer.from(content);
    const digest = `sha256:${sha256(bytes)}`;
    blobs.set(digest, bytes);
    return { mediaType: `${TYPE}.${mediaType}`, digest, size: bytes.length };
  };
  const rootfs = { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] };
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: `${TYPE}.manifest.v1+json`,
    config: keep('config.v1+json', JSON.stringify({ os: 'linux', architecture: 'amd64', config, rootfs })),
    layers: [keep('layer.v1.tar', layer)],
  });
  keep('manifest.v1+json', manifest);
  const server = createServer(({ url = '', method }, response) => {
    const [, kind, digest = ''] = /^\/v2\/base\/(manifests|blobs)\/(.+)$/.exec(url) ?? [];
    const bytes = url === '/v2/' ? Buffer.from('{}') : blobs.get(digest);
    if (kind === 'manifests') response.setHeader('content-type', `${TYPE}.manifest.v1+json`);
    response.statusCode = bytes === undefined ? 404 : 200;
    response.setHeader('content-length', bytes?.length ?? 0);
    response.end(method === 'HEAD' ? undefined : bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address: AddressInfo | string | null = server.address();
  const host = `127.0.0.1:${typeof address === 'object' ? (address?.port ?? 0) : 0}`;
  return {
    host,
    image: `${host}/base@sha256:${sha256(manifest)}`,
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}
