/** One enclave that runs, with the sessions relayed to it and the notebook of what the host saw of them. */
import type { WebSocket } from 'ws';
import { LIMITS } from '../enclave/protocol/limits.ts';
import { PORTS } from '../enclave/vsock/socket.ts';
import { Failure } from '../policies/failure.ts';
import type { EnclaveDescription, RunningEnclave } from './hosts/host.ts';
import type { Notebook } from './relay/observations.ts';
import { relaySession } from './relay/session.ts';
import type { RelayedSession } from './relay/session.ts';

export type RunningCode = 'orchestrator/too-many-sessions' | 'orchestrator/not-running';

export interface RunningCollaboration {
  /** Its number among the enclaves of the collaboration, from 1. */
  readonly copy: number;
  readonly enclave: RunningEnclave;
  readonly notebook: Notebook;
  describe(): EnclaveDescription;
  /**
   * Connects to the enclave first, so that a failure can still be told in HTTP; then `accept` makes the WebSocket and
   * the session is relayed until it ends.
   */
  session(from: string, accept: () => Promise<WebSocket>): Promise<void>;
  /** Ends the sessions, then the enclave. */
  stop(): Promise<void>;
}

export function createRunning(copy: number, enclave: RunningEnclave, notebook: Notebook): RunningCollaboration {
  const sessions = new Set<RelayedSession>();
  let opening = 0;
  return {
    copy,
    enclave,
    notebook,
    describe: () => enclave.describe(),
    async session(from, accept) {
      if (sessions.size + opening >= LIMITS.connections) {
        throw new Failure<RunningCode>(
          'environment',
          'orchestrator/too-many-sessions',
          `the enclave already has ${LIMITS.connections} sessions`,
          { hint: 'try again in a moment' },
        );
      }
      opening += 1;
      try {
        const connection = await enclave.connect(PORTS.sessions);
        connection.on('error', () => {});
        const party = await accept().catch((error: unknown) => {
          connection.destroy();
          throw error;
        });
        const session = relaySession(party, connection, notebook.session(from));
        sessions.add(session);
        void session.ended.then(() => sessions.delete(session));
      } finally {
        opening -= 1;
      }
    },
    async stop() {
      for (const session of sessions) session.stop();
      await enclave.terminate();
    },
  };
}

/** `copy` where it was asked for by its number. */
export function notRunning(id: string, copy?: number, hint: string = startIt(copy)): Failure<RunningCode> {
  const what = copy === undefined ? 'its enclave' : `copy ${copy} of its enclave`;
  return new Failure('environment', 'orchestrator/not-running', `${what} does not run`, { where: id, hint });
}

function startIt(copy: number | undefined): string {
  return `ask the coordinator to start it (\`accord run POLICY${copy === undefined ? '' : ` --copies ${copy}`}\`)`;
}
