/** The page: one document without inline script or style, as its content security policy demands. */
export const PAGE_HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Accord</title>
<link rel="stylesheet" href="/page.css">
<script type="module" src="/page.js"></script>
</head>
<body>
<header>
<h1>Accord</h1>
<p class="relayed">Everything on this page is relayed by a host that nobody has to trust. To check it, run
<code>accord attest</code> from your own installation.</p>
</header>
<p id="silence" role="alert" hidden></p>
<main id="collaborations" aria-live="polite"><p>Loading…</p></main>
<template id="collaboration">
<article>
<h2></h2>
<p class="state"></p>
<h3>The policy, in plain words</h3>
<ul class="words"></ul>
<ul class="weakenings"></ul>
<h3>Measurements, as relayed</h3>
<dl class="measurements"></dl>
<h3>Contributions (ciphertext)</h3>
<ul class="contributions"></ul>
<h3>What this host saw</h3>
<p class="observed"></p>
</article>
</template>
<noscript><p>This page needs JavaScript. The same is at <a href="/v1/collaborations">/v1/collaborations</a>.</p></noscript>
</body>
</html>
`;

export const PAGE_CSS = `:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
.relayed { border-left: .25rem solid #b70; padding-left: .75rem; }
#silence { position: sticky; top: 0; padding: .5rem .75rem; background: Canvas; border: 2px solid #b30; }
article { border: 1px solid #8888; border-radius: .5rem; padding: 0 1rem 1rem; margin: 1rem 0; }
.state::before { content: "State: "; }
.weakenings li { list-style: "⚠ "; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; font-family: ui-monospace, monospace; font-size: .85rem; }
`;
