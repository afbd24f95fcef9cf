/**
 * Node opens its debugger, and with it everything in the process, to whoever may send it SIGUSR1. A listener takes the
 * signal from it. Call it before anything else.
 */
export function refuseDebugger(): void {
  process.on('SIGUSR1', () => {});
}
