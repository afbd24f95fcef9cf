/** With what Node starts the gate, whatever the host; `build/Dockerfile` says the same, and an engine that builds otherwise is refused. */
export const GATE_FLAGS: readonly string[] = [
  '--disallow-code-generation-from-strings',
  // Garbage is collected in smaller pieces, and that of long-lived things where there are 64 MB of it, not 8: while it is
  // collected no answer leaves (docs/figures.md, release).
  '--max-semi-space-size=4',
  '--initial-heap-size=64',
];
