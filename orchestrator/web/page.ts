/**
 * The script of the page, served to the browser as it is compiled. It shows what the orchestrator says, as text, and
 * checks nothing: it could not, since the orchestrator serves this script too.
 */
export interface Listed {
  readonly id: string;
}

interface Details extends Listed {
  readonly collaboration: string;
  readonly policyDigest: string;
  readonly state: string;
  readonly reason: string | null;
  readonly measurements: Readonly<Record<string, string>> | null;
  readonly contributions: readonly { readonly function: string; readonly bytes: number; readonly sha256: string }[];
  readonly inWords: readonly string[];
  readonly weakenings: readonly string[];
}

const REFRESH_MS = 3000;
/** One that does not answer by then is not waited for. */
const ANSWER_MS = 10_000;
const shown = new Map<string, string>();
/** When everything was last answered; before that, when this page was opened. */
let answered = new Date();

async function read<T>(path: string): Promise<T> {
  const response = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

function part(within: ParentNode, selector: string): Element {
  const found = within.querySelector(selector);
  if (found === null) throw new Error(`the page has no ${selector}`);
  return found;
}

function list(within: ParentNode, selector: string, lines: readonly string[]): void {
  part(within, selector).replaceChildren(
    ...lines.map((line) => {
      const item = document.createElement('li');
      item.textContent = line;
      return item;
    }),
  );
}

function render(details: Details, observed: string): HTMLElement {
  const template = part(document, '#collaboration');
  if (!(template instanceof HTMLTemplateElement)) throw new Error('the page has no template');
  const article = part(document.importNode(template.content, true), 'article');
  if (!(article instanceof HTMLElement)) throw new Error('the template has no article');
  article.id = details.id;
  part(article, 'h2').textContent = details.id;
  part(article, '.state').textContent = details.state + (details.reason === null ? '' : `: ${details.reason}`);
  list(article, '.words', details.inWords);
  list(article, '.weakenings', details.weakenings);
  const facts = [...Object.entries(details.measurements ?? {}), ['Policy digest', details.policyDigest] as const];
  part(article, '.measurements').replaceChildren(
    ...facts.flatMap(([name, value]) => {
      const [term, description] = [document.createElement('dt'), document.createElement('dd')];
      term.textContent = name;
      description.textContent = value;
      return [term, description];
    }),
  );
  list(
    article,
    '.contributions',
    details.contributions.map((one) => `${one.function}: ${one.bytes} bytes, SHA-256 ${one.sha256}`),
  );
  part(article, '.observed').textContent = observed;
  return article;
}

async function observedOf({ id, state }: Details): Promise<string> {
  if (state !== 'running') return 'Nothing runs.';
  const { totals } = await read<{ totals: Readonly<Record<string, number>> }>(`/v1/collaborations/${id}/observed`);
  return (
    `${totals['sessions']} sessions, ${totals['outboundConnections']} connections to KMS and S3, ` +
    `${totals['bytesToEnclave']} bytes in and ${totals['bytesFromEnclave']} bytes out, all ciphertext.`
  );
}

async function refresh(): Promise<void> {
  const main = part(document, '#collaborations');
  const { collaborations } = await read<{ collaborations: readonly Listed[] }>('/v1/collaborations');
  if (collaborations.length === 0) main.textContent = 'No collaboration yet. Start one with: accord run POLICY';
  else if (shown.size === 0) main.replaceChildren();
  for (const { id } of collaborations) {
    const details = await read<Details>(`/v1/collaborations/${id}`);
    const observed = await observedOf(details);
    const content = JSON.stringify([details, observed]);
    if (shown.get(id) === content) continue;
    shown.set(id, content);
    const article = render(details, observed);
    const before = document.getElementById(id);
    if (before === null) main.append(article);
    else before.replaceWith(article);
  }
}

/** What stands below is from before `since`; undefined where it is fresh. Written once: it is read out when it changes. */
function showSilence(since: Date | undefined): void {
  const notice = part(document, '#silence');
  const text =
    since === undefined
      ? ''
      : `The orchestrator has given no good answer since ${since.toLocaleTimeString()}: what is shown here is no newer. It is asked again every ${REFRESH_MS / 1000} seconds.`;
  if (notice.textContent !== text) notice.textContent = text;
  notice.toggleAttribute('hidden', since === undefined);
}

async function keepFresh(): Promise<void> {
  try {
    await refresh();
    answered = new Date();
    showSilence(undefined);
  } catch {
    // It may be restarting: it is asked again.
    showSilence(answered);
  }
  setTimeout(() => void keepFresh(), REFRESH_MS);
}

void keepFresh();
