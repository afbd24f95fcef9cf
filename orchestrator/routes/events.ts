/** Server-sent events of one collaboration: its state at once, then what happens. */
/* oxlint-disable oxc/no-async-endpoint-handlers -- express 5 treats a rejection as an error */
import express from 'express';
import type { Response, Router } from 'express';
import type { CollaborationEvent } from '../events.ts';
import type { Collaborations } from '../collaborations.ts';

const KEEP_ALIVE_MS = 15_000;
/** A reader that does not read is cut off, not remembered for. */
const MOST_PENDING_BYTES = 1_048_576;

export interface EventRoutes {
  readonly router: Router;
  /** Ends every stream: the orchestrator stops. */
  close(): void;
}

export function eventRoutes(collaborations: Collaborations): EventRoutes {
  const router = express.Router();
  const open = new Set<Response>();

  router.get('/v1/collaborations/:id/events', async (request, response) => {
    const { id } = request.params;
    const { state, reason } = await collaborations.get(id);
    response.status(200).set({ 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const send = ({ event, data }: CollaborationEvent): void => {
      response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
      if (response.writableLength > MOST_PENDING_BYTES) response.destroy();
    };
    send({ event: 'state', data: { state, reason } });
    const unsubscribe = collaborations.events.subscribe(id, send);
    const keepAlive = setInterval(() => response.write(': still here\n\n'), KEEP_ALIVE_MS);
    open.add(response);
    response.once('close', () => {
      open.delete(response);
      clearInterval(keepAlive);
      unsubscribe();
    });
  });

  return {
    router,
    close: () => {
      for (const response of open) response.end();
    },
  };
}
