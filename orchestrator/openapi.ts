/**
 * The orchestrator's HTTP interface, as the OpenAPI 3.1 document that is served at `/openapi.json` and that every
 * request is checked against before a route sees it.
 */
import { BOUNDS } from '../policies/bounds.ts';
import { NAME_PATTERN } from '../policies/name.ts';
import { ANCHOR_PREFIX } from './contributions.ts';
import { MOST_COPIES } from './fleet.ts';
import { HOST_NAMES } from './hosts/names.ts';
import type { JsonObject } from './store/store.ts';

/** A collaboration's name, and the beginning of its policy's digest. */
export const ID_PATTERN: string = NAME_PATTERN.replace('$', '-[0-9a-f]{12}$');

const hex = (characters: number): JsonObject => ({ type: 'string', pattern: `^[0-9a-f]{${characters}}$` });
const ref = (name: string): JsonObject => ({ $ref: `#/components/schemas/${name}` });
const object = (properties: JsonObject, optional: readonly string[] = []): JsonObject => ({
  type: 'object',
  additionalProperties: false,
  required: Object.keys(properties).filter((key) => !optional.includes(key)),
  properties,
});
const orNull = (schema: JsonObject): JsonObject => ({ anyOf: [schema, { type: 'null' }] });
const time = { type: 'string', format: 'date-time' };
const count = { type: 'integer', minimum: 0 };
const text = { type: 'string' };

const host = { enum: HOST_NAMES };
const state = { enum: ['building', 'built', 'running', 'stopped', 'failed'] };

const summary = {
  id: ref('CollaborationId'),
  collaboration: { type: 'string', pattern: NAME_PATTERN },
  policyDigest: hex(96),
  state,
  host: { ...orNull(host), description: 'Where its enclave runs, while it does.' },
  copies: { ...count, description: 'How many enclaves of its image run.' },
  reason: { type: ['string', 'null'], description: 'Why it is in this state, where that is not obvious.' },
  measurements: orNull(ref('Measurements')),
  contributions: { type: 'array', items: ref('Contribution') },
  createdAt: time,
  updatedAt: time,
};

const seen = {
  openedAt: { type: 'number' },
  closedAt: { type: ['number', 'null'] },
  bytesToEnclave: count,
  bytesFromEnclave: count,
  outcome: { type: ['string', 'null'] },
};

const enclaveFields = {
  id: text,
  host,
  isDebug: { type: 'boolean', description: "Nitro's debug mode: a console, and zeros for measurements." },
  measurements: { ...ref('Measurements'), description: 'As the host computed them from the image it started.' },
  state: object(
    { phase: { enum: ['starting', 'running', 'ended'] }, reason: text, exitCode: { type: ['integer', 'null'] } },
    ['reason', 'exitCode'],
  ),
};

/** A function's name, or `anchor.` and a party's. */
const CONTRIBUTION_PATTERN = `^(${ANCHOR_PREFIX.replace('.', '\\.')})?${NAME_PATTERN.slice(1)}`;

const schemas = {
  CollaborationId: { type: 'string', pattern: ID_PATTERN, description: '`<name>-<first 12 hex of the policy digest>`' },
  ContributionName: {
    type: 'string',
    pattern: CONTRIBUTION_PATTERN,
    description: 'A function, for its model; or `anchor.<party>`, for the credential of the anchor of that party.',
  },
  Measurements: object({ PCR0: hex(96), PCR1: hex(96), PCR2: hex(96) }),
  Contribution: object({ function: ref('ContributionName'), bytes: count, sha256: hex(64), storedAt: time }),
  NewCollaboration: object({
    policy: {
      type: 'string',
      minLength: 1,
      maxLength: BOUNDS.textBytes,
      description: 'The policy as YAML or JSON text, composed: with every party and, off AWS, with `trust`.',
    },
  }),
  CollaborationSummary: object(summary),
  Collaboration: object({
    ...summary,
    canonicalPolicy: { ...text, description: 'The exact text that is measured (RFC 8785). It names no key ARN.' },
    inWords: { type: 'array', items: text, description: 'The policy in plain words.' },
    weakenings: { type: 'array', items: text },
    sizing: orNull({ type: 'object' }),
    anchors: { type: 'array', items: ref('Anchor') },
    records: {
      ...object({ records: count, bytes: count }),
      description: 'Sealed records that its enclaves stored here.',
    },
    enclave: { ...orNull(ref('Enclave')), description: 'The first that runs.' },
    enclaves: { type: 'array', items: ref('EnclaveCopy') },
  }),
  Anchor: object({
    owner: text,
    kind: { enum: ['s3', 'folder'] },
    credential: { enum: ['contributed', 'missing', 'not-needed'] },
  }),
  Enclave: object(enclaveFields, ['isDebug']),
  EnclaveCopy: object(
    {
      copy: { type: 'integer', minimum: 1, maximum: MOST_COPIES },
      ...enclaveFields,
      sealedState: {
        ...orNull(
          object(
            {
              state: { enum: ['waiting', 'open', 'refused', 'lapsed', 'withdrawn'] },
              parties: { type: 'array', items: text },
              reason: text,
            },
            ['reason'],
          ),
        ),
        description: 'What the enclave last said of its sealed state; null where the policy seals none.',
      },
      unconfined: {
        type: 'array',
        items: text,
        description:
          'What does not hold the processes that read inputs and models, as the enclave said when it began to serve.',
      },
    },
    ['isDebug'],
  ),
  Observed: object({
    totals: object({
      sessions: count,
      outboundConnections: count,
      outboundRefused: count,
      serviceRequests: count,
      bytesToEnclave: count,
      bytesFromEnclave: count,
    }),
    entries: {
      type: 'array',
      items: {
        oneOf: [
          object({
            kind: { const: 'session' },
            from: text,
            frames: {
              type: 'array',
              items: object({
                at: { type: 'number' },
                direction: { enum: ['to-enclave', 'from-enclave'] },
                bytes: count,
              }),
            },
            ...seen,
          }),
          object({ kind: { const: 'outbound' }, host: text, port: count, ...seen }),
          object({ kind: { const: 'service' }, asked: text, ...seen }),
        ],
      },
    },
  }),
  Problem: {
    type: 'object',
    required: ['type', 'title', 'status', 'code', 'kind', 'detail'],
    properties: {
      type: text,
      title: text,
      status: { type: 'integer' },
      code: text,
      kind: { enum: ['usage', 'refused', 'unsupported', 'malformed', 'environment', 'bug'] },
      detail: text,
      where: text,
      hint: text,
      faults: { type: 'array', items: { type: 'object' } },
    },
  },
};

const json = (schema: JsonObject): JsonObject => ({ 'application/json': { schema } });
const answer = (description: string, schema: JsonObject): JsonObject => ({ description, content: json(schema) });
const problem = (description: string): JsonObject => ({
  description,
  content: { 'application/problem+json': { schema: ref('Problem') } },
});
const problems = { default: problem('A problem (RFC 9457).') };
const id = { name: 'id', in: 'path', required: true, schema: ref('CollaborationId') };
const functionName = { name: 'function', in: 'path', required: true, schema: ref('ContributionName') };
const copy = {
  name: 'copy',
  in: 'query',
  description: 'The number of the enclave that is meant, where several run.',
  schema: { type: 'integer', minimum: 1, maximum: MOST_COPIES },
};
const copies = { ...copy, name: 'copies', description: 'So many enclaves of the one image. Default: 1.' };
const bytes = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } };

const paths = {
  '/healthz': {
    get: {
      operationId: 'health',
      summary: 'Is it up?',
      responses: { 200: answer('Up.', object({ status: { const: 'ok' } })), ...problems },
    },
  },
  '/openapi.json': {
    get: {
      operationId: 'document',
      summary: 'This document.',
      responses: { 200: answer('It.', { type: 'object' }), ...problems },
    },
  },
  '/v1/collaborations': {
    get: {
      operationId: 'listCollaborations',
      summary: 'All collaborations, newest first.',
      responses: {
        200: answer('They.', object({ collaborations: { type: 'array', items: ref('CollaborationSummary') } })),
        ...problems,
      },
    },
    post: {
      operationId: 'createCollaboration',
      summary: 'Create a collaboration from a policy, and build its image. The same policy twice is one collaboration.',
      requestBody: { required: true, content: json(ref('NewCollaboration')) },
      responses: {
        200: answer('It was there already, image and all.', ref('Collaboration')),
        201: answer('Created; its image is being built.', ref('Collaboration')),
        202: answer('It was there already; its image is being built.', ref('Collaboration')),
        ...problems,
      },
    },
  },
  '/v1/collaborations/{id}': {
    parameters: [id],
    get: {
      operationId: 'getCollaboration',
      summary: 'One collaboration. Relayed, not verified: check measurements and attestation yourself.',
      responses: { 200: answer('It.', ref('Collaboration')), ...problems },
    },
  },
  '/v1/collaborations/{id}/events': {
    parameters: [id],
    get: {
      operationId: 'followCollaboration',
      summary: 'Server-sent events: `state` at once and at each change, `progress` while it builds.',
      responses: { 200: { description: 'Events.', content: { 'text/event-stream': { schema: text } } }, ...problems },
    },
  },
  '/v1/collaborations/{id}/launch': {
    parameters: [id],
    post: {
      operationId: 'launch',
      summary: 'Start its enclave, or as many as are missing; answers when all serve. What runs is left running.',
      parameters: [copies],
      responses: { 200: answer('It runs.', ref('Collaboration')), ...problems },
    },
  },
  '/v1/collaborations/{id}/terminate': {
    parameters: [id],
    post: {
      operationId: 'terminate',
      summary: 'Stop one of its enclaves, which must run, else all; answers when nothing of them is left.',
      parameters: [copy],
      responses: { 200: answer('What was to be stopped does not run.', ref('Collaboration')), ...problems },
    },
  },
  '/v1/collaborations/{id}/console': {
    parameters: [id],
    get: {
      operationId: 'console',
      summary: 'The last lines its enclave printed.',
      parameters: [copy],
      responses: { 200: answer('Lines.', object({ lines: { type: 'array', items: text } })), ...problems },
    },
  },
  '/v1/collaborations/{id}/observed': {
    parameters: [id],
    get: {
      operationId: 'observed',
      summary: 'What this host saw of the running enclaves: connections, sizes, times. There is no more to see.',
      parameters: [copy],
      responses: { 200: answer('The notebook.', ref('Observed')), ...problems },
    },
  },
  '/v1/collaborations/{id}/contributions/{function}': {
    parameters: [id, functionName],
    put: {
      operationId: 'contribute',
      summary:
        'Store an encrypted contribution for a function or an anchor, in place of the one before. What an enclave took stays for it.',
      requestBody: { required: true, content: bytes },
      responses: { 201: answer('Stored.', ref('Contribution')), ...problems },
    },
    get: {
      operationId: 'getContribution',
      summary: 'The ciphertext.',
      responses: { 200: { description: 'The ciphertext.', content: bytes }, ...problems },
    },
    delete: {
      operationId: 'withdrawContribution',
      summary: 'Delete the newest upload. What an enclave took stays for it: the owner withdraws that in its KMS.',
      responses: { 204: { description: 'Deleted.' }, ...problems },
    },
  },
  '/v1/collaborations/{id}/session': {
    parameters: [id],
    get: {
      operationId: 'session',
      summary:
        'A WebSocket to the enclave, of several to each in its turn: a binary message is one frame body, relayed unread.',
      parameters: [copy],
      responses: {
        101: { description: 'Switched to WebSocket.' },
        426: problem('The request did not ask for a WebSocket.'),
        ...problems,
      },
    },
  },
};

export const openApiDocument: JsonObject = {
  openapi: '3.1.0',
  info: {
    title: 'Accord orchestrator',
    version: '1',
    description: 'Runs collaborations without being trusted. Whatever it says is relayed, and checkable by a party.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  servers: [{ url: '/' }],
  paths,
  components: { schemas },
};
