import { NAME_PATTERN } from '../name.ts';
import { text } from '../reading/scalars.ts';
import { refine, type Objection, type Reading, type Shape } from '../reading/shape.ts';
import { nearest } from '../reading/suggest.ts';

const NAME_HINT = 'lower-case letters, digits and hyphens, beginning with a letter, at most 63';

export const name = (description: string, wanted: string): Shape<string> =>
  text({ description, wanted, pattern: NAME_PATTERN, maxLength: 63, code: 'policy/bad-name', hint: NAME_HINT });

/** A name that must be among the policy's parties. */
export const partyName = (description: string): Shape<string> =>
  refine(name(description, "a party's name"), (party, { parties }: Reading): Objection | undefined => {
    if (parties.size === 0 || parties.has(party)) return undefined;
    const meant = nearest(party, parties);
    return {
      code: 'policy/unknown-party',
      message: `there is no party ${party}`,
      hint: meant === undefined ? `the parties are: ${[...parties].join(', ')}` : `did you mean ${meant}?`,
    };
  });

export const sha256 = (description: string): Shape<string> =>
  text({
    description,
    wanted: 'a SHA-256 in lower-case hex',
    pattern: '^[0-9a-f]{64}$',
    maxLength: 64,
    hint: 'write 64 hexadecimal digits in lower case, as `sha256sum` prints them',
  });
