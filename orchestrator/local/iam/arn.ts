/**
 * Amazon Resource Names and the patterns that policies compare them with.
 *
 *     arn:partition:service:region:account:resource      resource may itself hold colons and slashes
 */
export interface Arn {
  readonly partition: string;
  readonly service: string;
  readonly region: string;
  readonly account: string;
  readonly resource: string;
}

export function parseArn(text: string): Arn | undefined {
  const [scheme, partition, service, region, account, ...rest] = text.split(':');
  const resource = rest.join(':');
  if (scheme !== 'arn' || !partition || !service || region === undefined || account === undefined || resource === '') {
    return undefined;
  }
  return { partition, service, region, account, resource };
}

/** `*` is any text, `?` any one character, everything else itself. Case counts. Never backtracks more than once a star. */
export function matchesPattern(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    const wanted = pattern[p];
    if (wanted === '*') {
      star = p++;
      resume = t;
    } else if (wanted !== undefined && (wanted === '?' || wanted === text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/** As the Arn operators compare: each of the six parts for itself, so a star never reaches across a colon before the last. */
export function matchesArnPattern(pattern: string, text: string): boolean {
  const patterns = sixParts(pattern);
  const parts = sixParts(text);
  if (patterns === undefined || parts === undefined) return false;
  return patterns.every((part, index) => matchesPattern(part, parts[index] ?? ''));
}

function sixParts(text: string): readonly string[] | undefined {
  const parts = text.split(':');
  return parts.length < 6 ? undefined : [...parts.slice(0, 5), parts.slice(5).join(':')];
}
