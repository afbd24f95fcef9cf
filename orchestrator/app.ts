/** The HTTP service: guard, validation against the OpenAPI document, routes, problems. */
import type { IncomingMessage } from 'node:http';
import express from 'express';
import type { ErrorRequestHandler, Express, RequestHandler } from 'express';
import OpenApiValidator from 'express-openapi-validator';
import { Failure } from '../policies/failure.ts';
import type { Collaborations } from './collaborations.ts';
import type { Contributions } from './contributions.ts';
import { requestGuard } from './guard.ts';
import { openApiDocument } from './openapi.ts';
import { sendProblem, toProblem } from './problem.ts';
import { collaborationRoutes, jsonBody } from './routes/collaborations.ts';
import { contributionRoutes } from './routes/contributions.ts';
import { eventRoutes } from './routes/events.ts';
import { pageRoutes } from './routes/page.ts';
import { sessionRoutes, sessionUpgrade } from './routes/session.ts';
import type { UpgradeHandler } from './routes/session.ts';

export type HttpCode =
  | 'http/not-found'
  | 'http/method-not-allowed'
  | 'http/too-large'
  | 'http/media-type'
  | 'http/slow'
  | 'http/request-invalid';

/** From the head of a request to the end of a JSON body. */
const BODY_MS = 10_000;

export interface AppOptions {
  readonly collaborations: Collaborations;
  readonly contributions: Contributions;
  /** The address it will listen on. */
  readonly listensOn: string;
  /** Check answers against the document too: for tests. */
  readonly validateResponses?: boolean;
  /** Told of errors nobody expected. */
  readonly onBug: (error: unknown) => void;
}

export interface App {
  readonly http: Express;
  readonly upgrade: UpgradeHandler;
  /** Ends what would otherwise never end by itself (event streams). */
  close(): void;
}

export function createApp(options: AppOptions): App {
  const guard = requestGuard(options.listensOn);
  const events = eventRoutes(options.collaborations);
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use(securityHeaders, guarded(guard));
  app.use(pageRoutes());
  app.use('/v1/collaborations', onlyWithBody(jsonBody));
  app.use(
    OpenApiValidator.middleware({
      apiSpec: documentForValidator(),
      validateRequests: { allowUnknownQueryParameters: false },
      validateResponses: options.validateResponses ?? false,
    }),
  );
  app.get('/healthz', (_request, response) => void response.json({ status: 'ok' }));
  app.get('/openapi.json', (_request, response) => void response.json(openApiDocument));
  app.use(collaborationRoutes(options.collaborations));
  app.use(contributionRoutes(options.contributions));
  app.use(events.router);
  app.use(sessionRoutes());
  app.use((_request, response) => sendProblem(response, toProblem(httpFailure({ status: 404 }))));
  app.use(problems(options.onBug));
  return {
    http: app,
    upgrade: sessionUpgrade(options.collaborations, guard, options.onBug),
    close: () => events.close(),
  };
}

/** A copy, since the validator rewrites what it is given; in its own type, which is narrower than JSON. */
function documentForValidator(): ApiSpec {
  const copy: unknown = structuredClone(openApiDocument);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the validator checks it itself, at start
  return copy as ApiSpec;
}

type ApiSpec = Exclude<Parameters<typeof OpenApiValidator.middleware>[0]['apiSpec'], string>;

const securityHeaders: RequestHandler = (_request, response, next) => {
  response.set({
    'content-security-policy':
      "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': 'same-origin',
    'cross-origin-opener-policy': 'same-origin',
    'cache-control': 'no-store',
  });
  next();
};

function guarded(guard: (request: IncomingMessage) => void): RequestHandler {
  return (request, _response, next) => {
    guard(request);
    next();
  };
}

/** Uploads are streams: the JSON parser must not touch them. */
function onlyWithBody(parse: RequestHandler): RequestHandler {
  return (request, response, next) => {
    if (request.method !== 'POST') {
      next();
      return;
    }
    const slow = new Failure<HttpCode>('environment', 'http/slow', 'the request did not arrive in time');
    const timer = setTimeout(() => {
      sendProblem(response, toProblem(slow));
      request.destroy();
    }, BODY_MS);
    response.once('close', () => clearTimeout(timer));
    parse(request, response, (error?: unknown) => {
      clearTimeout(timer);
      if (!response.writableEnded) next(error);
    });
  };
}

function problems(onBug: (error: unknown) => void): ErrorRequestHandler {
  return (error: unknown, _request, response, _next) => {
    const failure = error instanceof Failure ? error : httpFailure(error);
    if (!(failure instanceof Failure)) onBug(error);
    sendProblem(response, toProblem(failure));
  };
}

/** What express and the validator throw, as a failure of ours; anything else as it is. */
function httpFailure(error: unknown): unknown {
  if (typeof error !== 'object' || error === null || !('status' in error)) return error;
  const message = 'message' in error && typeof error.message === 'string' ? error.message : '';
  switch (error.status) {
    case 404:
      return new Failure<HttpCode>('usage', 'http/not-found', 'there is nothing here', { hint: 'see /openapi.json' });
    case 405:
      return new Failure<HttpCode>('usage', 'http/method-not-allowed', message, { hint: 'see /openapi.json' });
    case 413:
      return new Failure<HttpCode>('malformed', 'http/too-large', 'the request is larger than any policy may be');
    case 415:
      return new Failure<HttpCode>('usage', 'http/media-type', message, { hint: 'see /openapi.json' });
    case 400:
      return new Failure<HttpCode>('usage', 'http/request-invalid', message, { hint: 'see /openapi.json' });
    default:
      return error;
  }
}
