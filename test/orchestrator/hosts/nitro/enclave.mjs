// What stands in for an enclave: init and gate in one process, with unix sockets for vsock. A connection to the host says
// its CID first (4 bytes), as the hypervisor would. Arguments: the stand-in's folder, id, CID.
import { rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { once } from 'node:events';

const [state, id, cid] = process.argv.slice(2);
const mode = process.env.MODE;

function dialHost(port, from = Number(cid)) {
  const socket = connect(join(state, `host-${port}.sock`));
  socket.on('error', () => {});
  const preamble = Buffer.alloc(4);
  preamble.writeUInt32BE(from);
  socket.write(preamble);
  return socket;
}

/** To the console and, of an init that has one, to the life line: it is open before the heartbeat goes out. */
const lifeLine = mode === 'quiet' ? undefined : dialHost(8003);
const say = (line) => {
  process.stdout.write(`${JSON.stringify(line)}\n`);
  lifeLine?.write(`${JSON.stringify(line)}\n`);
};
const exit = async (last) => {
  say({ accord: 'exited', ...last });
  lifeLine?.end();
  if (lifeLine !== undefined) await once(lifeLine, 'close');
  if (mode !== 'lingers') process.exit(0);
};

const answers = {
  facts: async () => ({ cid: Number(cid), mode }),
  host: () => question(dialHost(8001)),
  // As another process on the instance would try it, over the local loop or with a CID that nobody has.
  stranger: () => question(dialHost(8001, 4711)),
  loop: () => question(dialHost(8001, 1)),
  unknown: () => question(dialHost(8002)),
  crash: () => exit({ signal: 9, outOfMemory: false }),
  'out-of-memory': () => exit({ signal: 9, outOfMemory: true }),
  vanish: async () => process.kill(process.pid, 'SIGKILL'),
};

function question(socket) {
  return new Promise((resolve) => {
    let text = '';
    socket.on('data', (data) => (text += data)).on('close', () => resolve({ text }));
    socket.write('hello host');
  });
}

say({ accord: 'init', entropy: 256 });
process.stderr.write('the kernel of the enclave speaks\n');
if (mode !== 'no-heartbeat') writeFileSync(join(state, `${id}.heartbeat`), '');
if (mode === 'no-program') await exit({ reason: 'cannot start /usr/bin/absent: ENOENT' });
say({ accord: 'booted' });
if (mode === 'dies') {
  process.stderr.write('no model fits in here\n');
  await exit({ code: 7 });
}
if (mode === 'stops') {
  say({ accord: 'stopped', reason: 'policy/absent: the image carries no policy', code: 30 });
  await exit({ code: 30 });
}
if (mode === 'floods') {
  for (let line = 0; line < 5000; line++)
    lifeLine.write(`{"accord":"line","number":${line},"x":"${'x'.repeat(5000)}"}\n`);
}
setInterval(() => {}, 1000);
if (!['silent', 'no-heartbeat'].includes(mode)) {
  const path = join(state, `cid-${cid}-5000.sock`);
  rmSync(path, { force: true }); // of one that was killed
  createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (data) => {
      void answers[String(data).trim()]().then((answer) => socket.end(JSON.stringify(answer)));
    });
  }).listen(path);
  say({ accord: 'serving', port: 5000 });
}
