/** Before the first call: where spent calls will be written down, and that nobody can take anything back from there. */
import { DeleteObjectCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { createS3 } from '../../parties/kms/client.ts';
import { HOME_REGION, WELL_KNOWN } from '../local/accounts.ts';
import { connect, homeOf } from './cast.ts';
import type { Person, Play, Scene } from './cast.ts';

const OWNERS = ['alice', 'bob'] as const;
type Owner = (typeof OWNERS)[number];

const bucketOf = (owner: Owner): string => `${owner}-accord-anchor`;

/** Each reads the other's anchor too: only both together say what is spent. */
const readerOf = (owner: Owner): readonly string[] => {
  const other = owner === 'alice' ? 'bob' : 'alice';
  return ['--reader', `arn:aws:iam::${WELL_KNOWN[other].account}:user/${other}`];
};

export async function tellAnchors(scene: Scene, play: Play): Promise<void> {
  const { stage, story } = scene;
  story.chapter('The anchors: spent calls are written down where nobody can take them back');
  story.doing('each makes a bucket, and hands the key to it to the enclave alone (accord anchor)');
  const ways = await Promise.all(
    OWNERS.map(async (owner) => {
      const home = ['--home', homeOf(scene, owner, play)];
      await stage.must(['anchor', 'make', ...home, ...readerOf(owner)]);
      await stage.must(['anchor', 'contribute', ...home]);
      const linted = await stage.must(['anchor', 'lint', ...home, ...readerOf(owner)]);
      return linted['ways'];
    }),
  );
  story.check(
    'accord anchor lint finds no way around either',
    ways.every((found) => Array.isArray(found) && found.length === 0),
    OWNERS.map((owner) => `s3://${bucketOf(owner)}/accord/ in ${owner}'s account`).join(', '),
  );
  story.fact(
    'Each entry is locked until 90 days after the last day of service. The host has no right on either bucket.',
  );
  const status = await connect(scene, play);
  story.check(
    'once both have connected, the enclave makes the key of its state, which opens with both of theirs and no other way',
    status.fields('state').text('state') === 'open',
    'sealed under a data key of each; what it seals lies with the host, who can open none of it',
  );
}

/** Once there is an entry: its owner, administrator of the account, tries to remove it, and so does the host. */
export async function tellLocked({ stage, story, io }: Scene): Promise<void> {
  for (const [person, whose] of [
    ['alice', 'Alice herself, administrator of her account, cannot remove an entry from her anchor'],
    ['host', 'the host cannot even list it'],
  ] as const) {
    const outcome = await removeEntry(person, stage.awsEnvironment, io.signal);
    story.check(whose, outcome === 'AccessDenied', outcome);
  }
}

/** `removed`, or the name of what AWS answered. */
async function removeEntry(
  profile: Person | 'host',
  env: Readonly<Record<string, string>>,
  abortSignal: AbortSignal,
): Promise<string> {
  const s3 = createS3({ profile, region: HOME_REGION, env });
  const Bucket = bucketOf('alice');
  try {
    const { Versions = [] } = await s3.send(new ListObjectVersionsCommand({ Bucket, Prefix: 'accord/tickets/' }), {
      abortSignal,
    });
    const [entry] = Versions;
    if (entry === undefined) return 'no entry';
    const { Key, VersionId } = entry;
    await s3.send(new DeleteObjectCommand({ Bucket, Key, VersionId }), { abortSignal });
    return 'removed';
  } catch (error) {
    if (!(error instanceof Error) || !('$fault' in error) || error.$fault !== 'client') throw error;
    return error.name;
  } finally {
    s3.destroy();
  }
}
