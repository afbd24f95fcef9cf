import { run } from './simulation/run.ts';
const [runs, seed, replay] = process.argv.slice(2).map(Number);
if (replay !== undefined) {
  const r = await run(replay, { print: (line) => console.log(line) });
  console.log(r.violations);
} else {
  const c0 = process.cpuUsage(); const t0 = performance.now();
  let bad = 0, events = 0, answers = 0, attempts = 0;
  for (let i = 0; i < (runs ?? 100); i += 1) {
    const t1 = performance.now();
    const r = await run((seed ?? 1) + i);
    const took = performance.now() - t1; if (took > 5000) console.log(r.seed, 'took', took, r.events);
    events += r.events; answers += r.answers; attempts += r.attempts;
    if (r.violations.length > 0) { bad += 1; if (bad <= 15) console.log(r.seed, r.violations.map((v) => `${v.code}: ${v.text.slice(0, 300)}`)); }
  }
  console.log({ bad, events, answers, attempts, cpu: (process.cpuUsage(c0).user + process.cpuUsage(c0).system) / 1000 / (runs ?? 100), perRun: (performance.now() - t0) / (runs ?? 100) });
}
