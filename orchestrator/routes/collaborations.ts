/** Collaborations: create, read, launch, stop, and what is seen of them. */
/* oxlint-disable oxc/no-async-endpoint-handlers -- express 5 treats a rejection as an error */
import express from 'express';
import type { Router } from 'express';
import { BOUNDS } from '../../policies/bounds.ts';
import type { Collaborations } from '../collaborations.ts';
import { detailsOf, summaryOf } from '../presentation.ts';
import { observed } from '../relay/observations.ts';
import { notRunning } from '../running.ts';
import { copyNumber } from './copy.ts';
import type { Collaboration, JsonObject } from '../store/store.ts';

export function collaborationRoutes(collaborations: Collaborations): Router {
  const router = express.Router();
  const details = async (collaboration: Collaboration): Promise<JsonObject> => {
    const { id } = collaboration;
    return detailsOf(collaboration, collaborations.running(id), await collaborations.recordsUsage(id));
  };

  router.get('/v1/collaborations', async (_request, response) => {
    const listed = await collaborations.list();
    response.json({ collaborations: listed.map((one) => summaryOf(one, collaborations.running(one.id))) });
  });

  router.post('/v1/collaborations', async (request, response) => {
    const { created, collaboration } = await collaborations.create(policyText(request.body));
    response.status(created ? 201 : collaboration.state === 'building' ? 202 : 200);
    response.location(`/v1/collaborations/${collaboration.id}`).json(await details(collaboration));
  });

  router.get('/v1/collaborations/:id', async (request, response) => {
    response.json(await details(await collaborations.get(request.params.id)));
  });

  router.post('/v1/collaborations/:id/launch', async (request, response) => {
    const copies = copyNumber(request.query['copies']) ?? 1;
    response.json(await details(await collaborations.launch(request.params.id, copies)));
  });

  router.post('/v1/collaborations/:id/terminate', async (request, response) => {
    const copy = copyNumber(request.query['copy']);
    response.json(await details(await collaborations.terminate(request.params.id, copy)));
  });

  router.get('/v1/collaborations/:id/console', async (request, response) => {
    const copy = copyNumber(request.query['copy']);
    response.json({ lines: await collaborations.console(request.params.id, copy) });
  });

  router.get('/v1/collaborations/:id/observed', async (request, response) => {
    const { id } = await collaborations.get(request.params.id);
    const copy = copyNumber(request.query['copy']);
    const running = collaborations.running(id).filter((one) => copy === undefined || one.copy === copy);
    if (running.length === 0) throw notRunning(id, copy);
    response.json(observed(running.map((one) => one.notebook)));
  });

  return router;
}

/** JSON escapes a character in at most six. */
export const jsonBody: express.RequestHandler = express.json({ limit: 6 * BOUNDS.textBytes, inflate: false });

/** The OpenAPI document says that it is there; this says so to the compiler. */
function policyText(body: unknown): string {
  if (typeof body === 'object' && body !== null && 'policy' in body && typeof body.policy === 'string') {
    return body.policy;
  }
  throw new TypeError('a body that the OpenAPI document does not allow came through');
}
