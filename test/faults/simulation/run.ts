/** One run: a storm, then calm in which everybody gets what is theirs, then the verdict. A function of its seed. */
import type { Violation } from '../check.ts';
import { check } from '../check.ts';
import { createHistory } from '../history.ts';
import { agreementOf } from './agreement.ts';
import { behave } from './behaviour.ts';
import { createSimulation } from './clock.ts';
import { expectedAnswer } from './computer.ts';
import { sealAnchorCredential } from './contribution.ts';
import { createFleet } from './fleet.ts';
import type { Plan } from './plan.ts';
import { COUNTER, makePlan } from './plan.ts';
import { onSimulatedPlatform } from './platform.ts';
import { createPrng } from './prng.ts';
import { strike } from './storm.ts';
import type { Weakening } from './weakening.ts';

export interface RunResult {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly events: number;
  readonly answers: number;
  readonly attempts: number;
  readonly kills: number;
  readonly plan: Plan;
}

export interface RunOptions {
  readonly weakening?: Weakening | undefined;
  /** Given each line of the trace. */
  readonly print?: ((line: string) => void) | undefined;
}

/** Virtual time that the calm may take until everybody is served. */
const CALM_MS = 600_000;
/** … where an owner stands in the way for good, and they may never be. */
const BLOCKED_MS = 30_000;
/** A lease, and a request under way when it ends. */
const LEASE_MS = 3_600_000 + 900_000;

export async function run(seed: number, { weakening, print }: RunOptions = {}): Promise<RunResult> {
  const random = createPrng(seed, 'run');
  const drawn = makePlan(random.fork('plan'));
  const plan = weakening?.plan?.(drawn) ?? drawn;
  return onSimulatedPlatform(random.fork('platform'), weakening?.keylessEntries === true, async () => {
    const agreed = await agreementOf(plan);
    const simulation = createSimulation(print);
    simulation.trace(() => JSON.stringify({ seed, ...plan, calls: undefined }));
    const history = createHistory();
    const unhandled = (error: unknown): void =>
      void history.faults.push(`unhandled: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    process.on('unhandledRejection', unhandled);
    try {
      const fleet = createFleet({ simulation, random: random.fork('fleet'), plan, agreed, history, weakening });
      if (weakening?.lenientKms === true) fleet.kms.lenient = true;
      const owners = random.fork('owners');
      for (const party of plan.parties.slice(0, plan.anchors)) {
        const { blob } = await sealAnchorCredential({
          kms: fleet.kms,
          random: owners,
          party,
          policyDigest: agreed.digest,
        });
        fleet.contributions.set(`anchor.${party}`, blob);
      }
      const world = {
        simulation,
        random: random.fork('parties'),
        history,
        kms: fleet.kms,
        policyDigest: agreed.digest,
        connect: (to?: string) => fleet.connect(to),
      };
      const storm = strike(simulation, random.fork('storm'), plan, fleet, history, weakening?.keylessEntries === true);
      fleet.start();
      const parties = behave(world, plan, fleet);
      const mayBlock = (): boolean => plan.lying.length > 0 || !storm.harmless() || plan.withdrawal !== undefined;
      const done = await simulation.run(() => parties.isDone() && simulation.now() > plan.stormMs / 2, plan.stormMs);
      storm.end();
      simulation.trace(() => '— calm —');
      fleet.calm();
      if (!done) await simulation.run(parties.isDone, simulation.now() + (mayBlock() ? BLOCKED_MS : CALM_MS));
      if (plan.withdrawal !== undefined) {
        parties.rest();
        storm.rest();
        parties.askAfter(simulation.now() + LEASE_MS);
        await simulation.run(() => false, simulation.now() + LEASE_MS + BLOCKED_MS);
      }
      const violations = check(history, {
        functions: Object.fromEntries(
          Object.entries(plan.quotas).map(([name, calls]) => [
            name,
            name === COUNTER ? { kind: 'counter', calls } : { kind: 'model', calls, expected: expectedAnswer },
          ]),
        ),
        quorum: plan.quorum,
        entries: fleet.buckets.filter((_, i) => !plan.lying.includes(i)).map((bucket) => bucket.entries()),
        demandAnswers: !mayBlock(),
        demandWholeQuota: !mayBlock() && plan.quorum === plan.anchors && plan.models === 1,
        demandHonestRefusals: plan.quorum === plan.anchors && plan.lying.length === 0,
        leaseMs: plan.seal === 'layered' ? LEASE_MS : Infinity,
      });
      for (const { code, text } of violations) simulation.trace(() => `VIOLATION ${code}: ${text}`);
      const answers = history.attempts.filter(({ outcome }) => 'answer' in outcome).length;
      return {
        seed,
        violations,
        events: simulation.events,
        answers,
        attempts: history.attempts.length,
        kills: storm.kills(),
        plan,
      };
    } finally {
      // Rejections of the last step are told before the next run begins.
      await new Promise<void>((resolve) => void setImmediate(resolve));
      process.off('unhandledRejection', unhandled);
    }
  });
}
