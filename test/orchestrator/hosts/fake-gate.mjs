// What stands in for the gate: plain JavaScript that needs no package, so that the image is Node and this file.
import { spawn } from 'node:child_process';
import { createServer, connect } from 'node:net';
import { readFileSync } from 'node:fs';

const mode = process.env.MODE;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
say({ accord: 'booted' });

if (mode === 'dies') {
  process.stderr.write('no model fits in here\n');
  process.exit(7);
}
if (mode === 'stops') {
  say({ accord: 'stopped', reason: 'policy/absent: the image carries no policy', code: 30 });
  process.exitCode = 30;
} else if (mode === 'deaf' || mode === 'child') {
  process.on('SIGTERM', () => {});
  process.stdin.resume();
  setInterval(() => {}, 1000);
} else {
  process.stdin.on('end', () => process.exit(0)).resume();
}
if (mode === 'deaf') {
  // A jail that holds the same output open, and is as deaf.
  spawn(process.execPath, [process.argv[1]], { env: { MODE: 'child' }, stdio: ['pipe', 'inherit', 'inherit'] });
}
if (mode === 'floods') for (let line = 0; line < 5000; line++) process.stdout.write(`${line} ${'x'.repeat(5000)}\n`);

/** One NSM request, framed by its length. */
function nsm(request) {
  return new Promise((resolve, reject) => {
    const socket = connect('run/nsm.sock');
    const head = Buffer.alloc(4);
    head.writeUInt32BE(request.length);
    socket.write(Buffer.concat([head, request]));
    let got = Buffer.alloc(0);
    socket.on('data', (data) => {
      got = Buffer.concat([got, data]);
      if (got.length < 4 || got.length < 4 + got.readUInt32BE(0)) return;
      socket.destroy();
      resolve(got.subarray(4).toString('hex'));
    });
    socket.on('error', reject);
  });
}

const answers = {
  facts: async () => ({
    env: process.env,
    cwd: process.cwd(),
    execPath: process.execPath,
    execArgv: process.execArgv,
    argv: process.argv.slice(1),
    parent: readFileSync('/proc/self/stat', 'utf8').split(' ')[3],
  }),
  import: () =>
    import('express').then(
      () => ({ code: 'found' }),
      (error) => ({ code: error.code }),
    ),
  // {"DescribePCR": {"index": 0}}
  pcr0: async () => ({ reply: await nsm(Buffer.from('a16b4465736372696265504352a165696e64657800', 'hex')) }),
  host: () =>
    new Promise((resolve) => {
      const socket = connect('run/host-8001.sock');
      let text = '';
      socket.on('data', (data) => (text += data)).on('end', () => resolve({ text }));
      socket.end('hello host');
    }),
  crash: async () => process.kill(process.pid, 'SIGKILL'),
};

if (mode === 'serves' || mode === 'deaf' || mode === 'floods') {
  const serve = () =>
    createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      socket.once('data', (data) => {
        void answers[String(data).trim()]().then((answer) => socket.end(JSON.stringify(answer)));
      });
    }).listen('run/guest-5000.sock');
  if (mode === 'serves')
    setTimeout(serve, 100); // says that it serves a little too early
  else serve();
  say({ accord: 'serving', port: 5000 });
}
if (mode === 'silent') setInterval(() => {}, 1000);
