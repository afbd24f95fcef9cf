/** The small page: document, style and script, from memory. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import express from 'express';
import type { Router } from 'express';
import { PAGE_CSS, PAGE_HTML } from '../web/document.ts';

export function pageRoutes(): Router {
  const router = express.Router();
  let script: Promise<string> | undefined;
  router.get('/', (_request, response) => void response.type('html').send(PAGE_HTML));
  router.get('/page.css', (_request, response) => void response.type('css').send(PAGE_CSS));
  router.get('/page.js', async (_request, response) => {
    script ??= pageScript();
    response.type('js').send(await script);
  });
  return router;
}

/** Compiled beside this file; where Accord runs from its sources, compiled now. */
async function pageScript(): Promise<string> {
  const compiled = join(import.meta.dirname, '..', 'web', 'page.js');
  if (existsSync(compiled)) return readFile(compiled, 'utf8');
  const { transform } = await import('esbuild');
  const source = await readFile(join(import.meta.dirname, '..', 'web', 'page.ts'), 'utf8');
  return (await transform(source, { loader: 'ts', target: 'es2022' })).code;
}
