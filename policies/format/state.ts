import { BOUNDS } from '../bounds.ts';
import type { SealedState, Succession } from '../model.ts';
import { list } from '../reading/collections.ts';
import { defaulted, object, required } from '../reading/object.ts';
import { choice, text, whole } from '../reading/scalars.ts';
import { refine, scalarOr, type Objection, type Reading, type Shape } from '../reading/shape.ts';
import { count } from '../words.ts';
import { partyName } from './names.ts';

const layered: Shape<'layered'> = choice('Every party is needed to open the state.', '`layered`, or { threshold: k }', [
  'layered',
]);
const threshold = object<{ readonly threshold: number }>(
  {
    threshold: required(
      refine(
        whole({
          description: 'So many of the parties are needed to open the state, whichever they are.',
          wanted: 'a number of parties',
          min: 1,
          max: BOUNDS.parties,
        }),
        (k, { parties }: Reading): Objection | undefined => {
          if (parties.size === 0 || k <= parties.size) return undefined;
          return {
            code: 'policy/out-of-range',
            message: `${k} parties are needed, and there ${parties.size === 1 ? 'is' : 'are'} ${parties.size}`,
            hint: `write a number from 1 to ${parties.size}, or \`seal: layered\` for all of them`,
          };
        },
      ),
    ),
  },
  { description: 'Some of the parties open the state.', wanted: '{ threshold: k }' },
);
const seal: Shape<SealedState['seal']> = scalarOr(
  layered,
  threshold,
  'Who is needed to open the state: `layered` (all).',
);

/** What is wrong with an order of the parties; undefined for a permutation of them. */
function orderObjection(order: readonly string[], { parties }: Reading): Objection | undefined {
  const missing = [...parties].filter((party) => !order.includes(party));
  if (missing.length === 0) return undefined;
  return {
    code: 'policy/bad-order',
    message: `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not in the order`,
    hint: `name each of the ${count(parties.size, 'party', 'parties')} once, or leave \`order\` out: then they stand by name`,
  };
}

const order: Shape<readonly string[]> = refine(
  list({
    description: 'Every party once: the order in which layers are wrapped and anchors are asked. Default: by name.',
    wanted: 'the names of the parties',
    item: partyName('A party.'),
    min: 1,
    max: BOUNDS.parties,
  }),
  orderObjection,
);

const STATE = {
  description: 'How that which outlives the enclave is sealed. Needs anchors, as they need it.',
  wanted: 'a state, like { seal: layered }',
};
const NO_STATE = choice('Nothing outlives the enclave.', '`none`, or { seal, order }', ['none']);

interface WrittenState {
  readonly seal: SealedState['seal'];
  readonly order: readonly string[] | undefined;
}

const writtenState = object<WrittenState>(
  { seal: required(seal), order: defaulted<readonly string[] | undefined>(order, undefined) },
  STATE,
);

/** As the parties write it; without an order, by name. */
export const state: Shape<'none' | SealedState> = scalarOr<'none', SealedState>(
  NO_STATE,
  {
    schema: writtenState.schema,
    read(source, path, reading) {
      const written = writtenState.read(source, path, reading);
      return written && { seal: written.seal, order: written.order ?? [...reading.parties].sort() };
    },
  },
  'What outlives the enclave, and who is needed to open it.',
);

/** As the image carries it. */
export const canonicalState: Shape<'none' | SealedState> = scalarOr(
  NO_STATE,
  object<SealedState>({ seal: required(seal), order: required(order) }, STATE),
  'What outlives the enclave, and who is needed to open it.',
);

export const succeeds: Shape<Succession> = object<Succession>(
  {
    policyDigest: required(
      text({
        description: 'The digest of the policy that this one takes the place of; that one is closed first.',
        wanted: 'a policy digest',
        pattern: '^[0-9a-f]{96}$',
        maxLength: 96,
        hint: 'write the 96 hexadecimal digits that `accord check` prints for the policy before',
      }),
    ),
    calls: required(
      choice('Whether calls spent under the policy before count here.', '`carried` or `fresh`', ['carried', 'fresh']),
    ),
  },
  { description: 'The policy that this one takes the place of.', wanted: '{ policyDigest, calls }' },
);
