/** Debian's indices: reading them, comparing versions, and finding all that some packages need. For `renew.mjs`. */

/** Name → its paragraphs (a name can stand there in several versions); continuation lines are kept, with their newlines. */
export function parseIndex(text) {
  const index = new Map();
  for (const paragraph of text.split('\n\n')) {
    const fields = {};
    let last = '';
    for (const line of paragraph.split('\n')) {
      if (line.startsWith(' ')) fields[last] += `\n${line}`;
      else if (line !== '') {
        const colon = line.indexOf(':');
        last = line.slice(0, colon);
        fields[last] = line.slice(colon + 1).trim();
      }
    }
    if (fields.Package === undefined) continue;
    const known = index.get(fields.Package);
    if (known === undefined) index.set(fields.Package, [fields]);
    else known.push(fields);
  }
  return index;
}

/**
 * `roots` and all they depend on, newest versions, sorted by name. Of alternatives the first that exists is taken; of
 * several providers the preferred one. Throws where something is not there, or not in a version that fits.
 */
export function resolveClosure(index, roots, { notNeeded, preferred }) {
  const providers = new Map();
  for (const [name, versions] of index) {
    for (const provided of versions.flatMap(({ Provides }) => clauses(Provides).flat())) {
      providers.set(provided.name, [...(providers.get(provided.name) ?? []), name]);
    }
  }
  const newest = (name) => [...(index.get(name) ?? [])].sort((a, b) => compareVersions(b.Version, a.Version))[0];
  const choose = (alternatives, wantedBy) => {
    for (const { name, relation, version } of alternatives) {
      const found = newest(name);
      if (found !== undefined) {
        if (relation === undefined || satisfies(found.Version, relation, version)) return found;
        continue;
      }
      const provided = providers.get(name) ?? [];
      const provider = preferred.get(name) ?? (new Set(provided).size === 1 ? provided[0] : undefined);
      if (provider !== undefined) return newest(provider);
    }
    throw new Error(`${wantedBy} needs ${alternatives.map(({ name }) => name).join(' | ')}, which is not in the index`);
  };
  const found = new Map();
  const visit = (alternatives, wantedBy) => {
    if (alternatives.some(({ name }) => notNeeded.has(name))) return;
    const chosen = choose(alternatives, wantedBy);
    if (found.has(chosen.Package)) return;
    found.set(chosen.Package, chosen);
    for (const clause of [...clauses(chosen['Pre-Depends']), ...clauses(chosen.Depends)]) visit(clause, chosen.Package);
  };
  for (const name of roots) visit([{ name }], 'the toolchain');
  return [...found.values()].sort((a, b) => (a.Package < b.Package ? -1 : 1));
}

/** `a (>= 1) | b, c:any` as [[{a}, {b}], [{c}]]. */
function clauses(text = '') {
  return text
    .split(',')
    .filter((clause) => clause.trim() !== '')
    .map((clause) =>
      clause.split('|').map((one) => {
        const [, name, relation, version] = /^\s*([^\s:(]+)(?::\w+)?\s*(?:\(([<>=]+)\s*([^)\s]+)\s*\))?/.exec(one);
        return { name, relation, version };
      }),
    );
}

function satisfies(version, relation, wanted) {
  const order = compareVersions(version, wanted);
  const holds = { '=': order === 0, '>=': order >= 0, '<=': order <= 0, '>>': order > 0, '<<': order < 0 };
  if (!(relation in holds)) throw new Error(`unknown relation ${relation}`);
  return holds[relation];
}

/** Order of two Debian versions, `[epoch:]upstream[-revision]`, by Debian Policy §5.6.12. */
export function compareVersions(a, b) {
  const [left, right] = [split(a), split(b)];
  return (
    left.epoch - right.epoch ||
    compareParts(left.upstream, right.upstream) ||
    compareParts(left.revision, right.revision)
  );
}

function split(version) {
  const [, epoch = '0', rest] = /^(?:(\d+):)?(.*)$/.exec(version);
  const dash = rest.lastIndexOf('-');
  return dash === -1
    ? { epoch: Number(epoch), upstream: rest, revision: '' }
    : { epoch: Number(epoch), upstream: rest.slice(0, dash), revision: rest.slice(dash + 1) };
}

/** By turns: a stretch of other characters (`~` before the end, letters before the rest), then a number. */
function compareParts(a, b) {
  while (a !== '' || b !== '') {
    const [left, right] = [/^\D*/.exec(a)[0], /^\D*/.exec(b)[0]];
    for (let i = 0; i < Math.max(left.length, right.length); i++) {
      const order = weight(left[i]) - weight(right[i]);
      if (order !== 0) return order;
    }
    [a, b] = [a.slice(left.length), b.slice(right.length)];
    const [m, n] = [/^\d*/.exec(a)[0], /^\d*/.exec(b)[0]];
    if (BigInt(m) !== BigInt(n)) return BigInt(m) < BigInt(n) ? -1 : 1;
    [a, b] = [a.slice(m.length), b.slice(n.length)];
  }
  return 0;
}

function weight(character) {
  if (character === '~') return -1;
  if (character === undefined) return 0;
  const code = character.codePointAt(0);
  return /[A-Za-z]/.test(character) ? code : code + 256;
}
