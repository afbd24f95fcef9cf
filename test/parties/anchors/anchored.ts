/** A policy with anchors, of the parties of the local AWS, and a home that pins it. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { awsRoot } from '../../../parties/attestation/verify.ts';
import { writeHome } from '../../../parties/home.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../../policies/canonical.ts';
import { policyDigest } from '../../../policies/digest.ts';
import { loadPolicy } from '../../../policies/load.ts';
import type { PolicyDigest } from '../../../policies/model.ts';
import { ALICE_ENCLAVE_ROLE, ALICE_KEY } from '../../orchestrator/local/fixture.ts';

const EXAMPLE = new URL('../../../policies/examples/skin-lesion-screening/policy.yaml', import.meta.url);

/** The example with these anchors, as YAML; the last day is far enough away. */
export async function anchoredPolicy(anchors: string): Promise<string> {
  const text = await readFile(EXAMPLE, 'utf8');
  const dated = text.replace(/^until: .*$/m, 'until: 2027-06-30');
  return `${dated}\nanchors: ${anchors}\nstate: { seal: layered, order: [alice, bob] }\n`;
}

/** Writes `policy.yaml` into the folder and Alice's home beside it, and gives the policy's digest. */
export async function anchoredHome(cwd: string, anchors: string, orchestrator: string): Promise<PolicyDigest> {
  const yaml = await anchoredPolicy(anchors);
  await writeFile(join(cwd, 'policy.yaml'), yaml);
  const policyText = canonicalPolicyText(await toCanonicalPolicy(loadPolicy(yaml, { file: 'policy.yaml' })));
  const digest = await policyDigest(policyText);
  const config = {
    party: 'alice',
    orchestrator,
    collaboration: 'c1',
    keyArn: ALICE_KEY,
    profile: 'alice',
    enclaveRoleArn: ALICE_ENCLAVE_ROLE,
  };
  const pcrs = { PCR0: '11'.repeat(48), PCR1: '22'.repeat(48), PCR2: '33'.repeat(48) };
  const pins = { policyDigest: digest, pcrs, root: awsRoot };
  await writeHome(join(cwd, '.accord', 'alice'), { config, pins, policyText }, true);
  return digest;
}
