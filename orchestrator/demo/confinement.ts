/** What holds the processes that touch inputs and models, by the enclave's own word; and what this machine does not give. */
import { unconfined } from '../../enclave/jail/confinement.ts';
import { fieldsOf, homeOf } from './cast.ts';
import type { Play, Scene } from './cast.ts';

const HELD = {
  user: 'a user of its own',
  namespaces: 'empty namespaces: no network, no other process, no file but its own',
  seccomp: 'a filter of system calls: no socket, no new program, no file to write',
  limits: 'bounds on memory, processor time, files and threads',
  cgroup: 'a control group',
} as const;
const KINDS = ['user', 'namespaces', 'seccomp', 'limits', 'cgroup'] as const;

export async function tellConfinement(scene: Scene, play: Play): Promise<void> {
  const { stage, story } = scene;
  story.chapter('The jail: whatever a hostile picture or model does to its process, it stays there');
  const status = fieldsOf(await stage.must(['quota', '--home', homeOf(scene, 'alice', play)]));
  const said = new Map(status.fields('confinement').entries());
  const held = {
    user: said.get('user') === true,
    namespaces: said.get('namespaces') === true,
    seccomp: said.get('seccomp') === true,
    limits: said.get('limits') === true,
    cgroup: said.get('cgroup') === true,
  };
  story.fact('One process reads the picture, another computes, each for one call; neither has keys or a way out.');
  story.check(
    'the enclave says what holds them',
    held.seccomp && held.limits,
    KINDS.filter((kind) => held[kind])
      .map((kind) => HELD[kind])
      .join('; '),
  );
  const missing = unconfined(held);
  if (missing.length === 0) story.fact('Nothing of it is missing here.');
  for (const { code, text } of missing)
    story.fact(`Missing on this machine, and said wherever it is asked: ${text} [${code}].`);
}
