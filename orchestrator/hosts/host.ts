/** One interface for every place an enclave can run: a child process, QEMU, or a Nitro instance. */
import type { Duplex } from 'node:stream';
import type { Pcrs } from '../../build/measure/pcr.ts';

/** Of an unsigned image: no PCR8. */
export type Measurements = Omit<Pcrs, 'PCR8'>;

export interface LaunchSpec {
  readonly collaboration: string;
  readonly eifPath: string;
  readonly memoryMiB: number;
  readonly cpus: number;
}

export type EnclaveState =
  | { readonly phase: 'starting' }
  | { readonly phase: 'running' }
  | { readonly phase: 'ended'; readonly reason: string; readonly exitCode: number | null };

export interface EnclaveDescription {
  readonly id: string;
  readonly host: 'local' | 'qemu' | 'nitro';
  /** In Nitro's debug mode: it has a console, and its attestation shows zeros in place of the measurements. */
  readonly isDebug?: boolean;
  readonly measurements: Measurements;
  readonly state: EnclaveState;
}

/** Ports of the host that the init dials (build/init/report.c, vsock.c); those of the program are in enclave/vsock/socket.ts. */
export const INIT_PORTS = {
  /** The life-cycle lines of init and program, as text. */
  lifeLine: 8003,
  /** Answered by nitro-cli itself on EC2. */
  heartbeat: 9000,
} as const;

/** What the enclave asks of its host; the orchestrator answers, the host driver only carries. Port -> handler. */
export type HostServices = Readonly<Record<number, (connection: Duplex) => void>>;

export interface RunningEnclave {
  describe(): EnclaveDescription;
  /** Opens a byte stream to a port inside the enclave, as the parent instance does over vsock. */
  connect(port: number): Promise<Duplex>;
  /** The last lines that the enclave printed. */
  console(): readonly string[];
  /** Resolves when nothing of the enclave is left running. */
  terminate(): Promise<void>;
  /** Resolves once, when the enclave has ended for whatever reason. */
  readonly ended: Promise<{ readonly reason: string; readonly exitCode: number | null }>;
}

export interface EnclaveHost {
  readonly name: 'local' | 'qemu' | 'nitro';
  launch(spec: LaunchSpec, services: HostServices, signal?: AbortSignal): Promise<RunningEnclave>;
}
