/**
 * The error codes of nitro-cli (https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html) in words that say what
 * to do. It prints them to standard error, the cause first and what followed from it after:
 *
 *     [ E27 ] Insufficient memory available. User provided `memory` is …
 *     For more details, please visit https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html#E27
 *     If you open a support ticket, please provide the error log found at "/var/log/nitro_enclaves/err….log"
 */
import { Failure } from '../../../policies/failure.ts';

export type NitroCliCode = 'host/nitro-cli-failed';

interface Meaning {
  readonly what: string;
  readonly hint?: string;
}

const RESTART_ALLOCATOR =
  'raise it in /etc/nitro_enclaves/allocator.yaml, stop every enclave, then `sudo systemctl restart nitro-enclaves-allocator.service`';
const GROUP = 'be in the group ne: `sudo usermod -aG ne "$USER"`, then log in again';
const AGAIN =
  'try again in a moment; if it stays, restart the allocator: `sudo systemctl restart nitro-enclaves-allocator.service`';
const DRIVER = 'is the instance enabled for Nitro Enclaves, and the driver loaded? `ls -l /dev/nitro_enclaves`';
const IMAGE = 'is the image whole, and not signed with a certificate that is over? `accord measure IMAGE` reads it';

const MEANINGS: Readonly<Record<string, Meaning>> = {
  E01: { what: 'an argument is missing' },
  E02: { what: 'two arguments contradict each other' },
  E03: { what: 'an argument is not of the form it should have' },
  E04: { what: 'no socket pair could be made', hint: AGAIN },
  E05: { what: "the enclave's process could not be started", hint: 'is there memory left on the instance?' },
  E06: { what: "the enclave's process could not go into the background" },
  E07: { what: 'its sockets in /run/nitro_enclaves cannot be read', hint: GROUP },
  E08: { what: "the connection to the enclave's process is not usable", hint: AGAIN },
  E09: { what: 'a connection could not be closed' },
  E10: { what: 'no time limit could be set on a connection' },
  E11: { what: "the enclave's process is not reached: it has ended, or belongs to another user" },
  E12: { what: 'events of the enclave cannot be waited for' },
  E13: { what: 'files cannot be watched' },
  E14: { what: 'a command is not known' },
  E15: { what: 'a lock could not be taken', hint: AGAIN },
  E16: { what: 'a thread did not end as it should' },
  E17: { what: 'a message between its processes is malformed' },
  E18: { what: 'its log file belongs to somebody else', hint: GROUP },
  E19: { what: 'a file cannot be used', hint: DRIVER },
  E20: { what: 'a CPU is named twice' },
  E21: { what: 'a CPU is not set aside for enclaves', hint: RESTART_ALLOCATOR },
  E22: { what: 'not enough CPUs are set aside and free for enclaves', hint: RESTART_ALLOCATOR },
  E23: { what: 'the list of CPUs is malformed' },
  E24: { what: 'a range of CPUs is malformed' },
  E25: { what: 'the size of huge pages is not known' },
  E26: { what: 'the enclave gets less memory than its image needs', hint: 'raise enclave.memoryMiB in the policy' },
  E27: { what: 'not enough memory is set aside and free for enclaves', hint: RESTART_ALLOCATOR },
  E28: { what: 'the hypervisor made no enclave', hint: DRIVER },
  E29: { what: 'the driver refused', hint: AGAIN },
  E30: { what: 'the driver does not say how to load the image', hint: AGAIN },
  E31: { what: 'the driver did not take the memory', hint: AGAIN },
  E32: {
    what: 'the driver did not take a CPU',
    hint: 'are whole cores set aside? cpu_count must be even where a core has two threads',
  },
  E33: { what: 'the hypervisor did not start the enclave', hint: AGAIN },
  E34: { what: 'the image does not fit the address space' },
  E35: { what: 'the image cannot be read into memory', hint: IMAGE },
  E36: {
    what: 'the enclave did not boot: no heartbeat came',
    hint: `${IMAGE}; has it memory enough to unpack? start it with --debug to see the kernel's own lines`,
  },
  E37: { what: 'events of the enclave could not be waited for' },
  E38: { what: "an enclave's process did not do what it was told" },
  E39: {
    what: "an enclave's process is not reached",
    hint: 'enclaves belong to the user who started them: is it the same one?',
  },
  E40: { what: "the enclave's socket has no path" },
  E41: { what: "the enclave's process could not answer" },
  E42: { what: 'memory could not be mapped', hint: RESTART_ALLOCATOR },
  E43: { what: 'memory could not be unmapped' },
  E44: { what: 'the console is not reached', hint: 'only an enclave started in debug mode has one' },
  E45: { what: 'the console cannot be read' },
  E46: { what: 'the console cannot be passed on' },
  E47: { what: 'a number is malformed' },
  E51: { what: 'it has no folder for its files', hint: 'set HOME' },
  E52: { what: 'its blobs are not found' },
  E53: { what: 'the clock went backwards' },
  E54: { what: 'signals could not be held back' },
  E55: { what: 'signals could not be let through again' },
  E56: { what: 'its log in /var/log/nitro_enclaves cannot be written', hint: GROUP },
  E57: { what: 'the measurement of the image failed', hint: IMAGE },
  E58: { what: 'no enclave, or more than one, has that name' },
};

/** What a failed `nitro-cli VERB` says, as a `Failure`: the first code is the cause. */
export function nitroCliFailure(verb: string, code: number | null, stderr: string): Failure<NitroCliCode> {
  const first = /\[ (E\d\d) \]\s*([^\n]*)/.exec(stderr);
  const log = /error log found at "([^"]+)"/.exec(stderr)?.[1];
  const where = log === undefined ? {} : { where: log };
  if (first === null) {
    const said = stderr.trim().split('\n').at(-1) ?? '';
    const ended = code === null ? 'was killed' : `ended with code ${code}`;
    const message = `\`nitro-cli ${verb}\` ${ended}${said === '' ? ' and said nothing' : `: ${said.slice(0, 300)}`}`;
    return new Failure('environment', 'host/nitro-cli-failed', message, where);
  }
  const [, number = '', own = ''] = first;
  const meaning = MEANINGS[number];
  const file = /^File: '[^\n]*/m.exec(stderr)?.[0] ?? '';
  const what = meaning?.what ?? own.slice(0, 300);
  const message = `\`nitro-cli ${verb}\` failed: ${what} (${number})${file === '' ? '' : `; ${file}`}`;
  return new Failure('environment', 'host/nitro-cli-failed', message, {
    ...where,
    ...(meaning?.hint === undefined ? {} : { hint: meaning.hint }),
  });
}
