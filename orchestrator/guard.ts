/**
 * What keeps a web page that the coordinator happens to visit away from an orchestrator on the same machine: no CORS
 * (a foreign page reads nothing), no foreign `Origin` (it changes nothing and opens no WebSocket, which CORS does not
 * cover), and on loopback no foreign `Host` (DNS rebinding makes a foreign page's origin its own).
 */
import type { IncomingMessage } from 'node:http';
import { Failure } from '../policies/failure.ts';

export type GuardCode = 'orchestrator/foreign-origin' | 'orchestrator/foreign-host';

const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

export function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || address.startsWith('127.');
}

/** Throws where the request is not one of the orchestrator's own clients'. */
export function requestGuard(listensOn: string): (request: IncomingMessage) => void {
  const demandLoopback = isLoopback(listensOn);
  return ({ headers }) => {
    const host = headers.host ?? '';
    if (demandLoopback && !LOOPBACK.has(host.replace(/:\d+$/, '')) && host.replace(/:\d+$/, '') !== listensOn) {
      throw new Failure<GuardCode>(
        'refused',
        'orchestrator/foreign-host',
        'this orchestrator does not go by that name',
        {
          where: 'Host',
          hint: 'use http://127.0.0.1, or listen elsewhere with --listen ADDRESS',
        },
      );
    }
    const { origin } = headers;
    if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
      throw new Failure<GuardCode>(
        'refused',
        'orchestrator/foreign-origin',
        'requests of foreign web pages are refused',
        {
          where: 'Origin',
        },
      );
    }
  };
}
